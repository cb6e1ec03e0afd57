//! Those that remember nothing.

use super::*;

/// What becomes of one value: the values that come out, with the port in front where it is not the main one, or the
/// reason of the failure.
fn said(settings: &str, value: Option<&[u8]>) -> String {
    let mut operator = operator(settings);
    let headers = encode_headers([("h", Some(&b"1"[..]))]);
    let mut records = Batch::default();
    records.push(Message { key: Some(b"k"), value, headers: Some(&headers), timestamp: Timestamp(7) });
    let (came, outcome) = outcome(operator.as_mut(), call(records, Slots::default()));
    let main = operator.declaration().outputs[0].name.clone();
    match outcome {
        Ok(outcome) => {
            let values = came.iter().map(|(port, key, value)| {
                let port = if *port == main { String::new() } else { format!("{port}: ") };
                let key = key.as_ref().filter(|key| *key != b"k").map(|key| String::from_utf8_lossy(key) + " = ");
                let value = value.as_ref().map_or("nothing".into(), |value| String::from_utf8_lossy(value));
                format!("{port}{}{value}", key.unwrap_or_default())
            });
            let failures = outcome.failures.iter().map(|failure| format!("! {}", failure.reason));
            values.chain(failures).collect::<Vec<_>>().join(" | ")
        }
        Err(error) => format!("!! {error}"),
    }
}

#[test]
fn each_does_what_its_table_says() {
    #[rustfmt::skip]
    let table = [
        ("use: hoist-field, field: line", "hello", r#"{"line":"hello"}"#),
        ("use: hoist-field, field: line", "", r#"{"line":""}"#),
        ("use: hoist-field, field: line", r#"say "hé" \"#, r#"{"line":"say \"hé\" \\"}"#),
        ("use: hoist-field, field: line", "42", r#"{"line":"42"}"#),
        ("use: hoist-field, field: 'a \"b'", "x", r#"{"a \"b":"x"}"#),
        ("use: hoist-field, field: row, as: json", r#" {"a": 1.50} "#, r#"{"row":{"a": 1.50}}"#),
        ("use: hoist-field, field: row, as: json", "hello", "! the value is not JSON: expected value at line 1 column 1"),
        ("use: insert-field, fields: {data_source: test-file-source}", r#"{"line":"hello"}"#, r#"{"line":"hello","data_source":"test-file-source"}"#),
        ("use: insert-field, fields: {b: 2, a: [x, {z: null, y: true}]}", r#"{"b":1}"#, r#"{"b":2,"a":["x",{"z":null,"y":true}]}"#),
        ("use: insert-field, fields: {a: 1}", "[1]", "! `a` cannot be set: `a` would be in a list"),
        ("use: set, fields: {/a/b: 1}", "{}", r#"{"a":{"b":1}}"#),
        ("use: set, expressions: {total: price * quantity}, fields: {currency: EUR}", r#"{"price":3,"quantity":4}"#, r#"{"price":3,"quantity":4,"currency":"EUR","total":12}"#),
        ("use: set, expressions: {a: b, b: a}", r#"{"a":1.10,"b":2}"#, r#"{"a":2,"b":1.10}"#),
        ("use: select, fields: [b, /c/d, nope]", r#"{"a":1,"c":{"x":0,"d":1.0},"b":[1]}"#, r#"{"c":{"d":1.0},"b":[1]}"#),
        ("use: select, fields: /c/d", r#"{"c":1}"#, "{}"),
        ("use: select, fields: [/l/1/a, /l/0]", r#"{"l":[7,{"a":1,"b":2},9]}"#, r#"{"l":[7,{"a":1}]}"#),
        ("use: select, fields: a", "[1]", "! the value is a list, not an object"),
        ("use: drop, fields: [b, /c/d, nope]", r#"{"a":1,"c":{"x":0,"d":1},"b":[1]}"#, r#"{"a":1,"c":{"x":0}}"#),
        ("use: cast, fields: {a: text, b: integer, c: number, d: boolean, e: text}", r#"{"a":1.50,"b":"7","c":"0.10","d":"true","e":{"x":[1]}}"#, r#"{"a":"1.50","b":7,"c":0.10,"d":true,"e":"{\"x\":[1]}"}"#),
        ("use: cast, fields: {a: integer, b: integer, c: number, d: boolean, e: integer, f: integer}", r#"{"a":1e3,"b":7.00,"c":true,"d":0,"e":null}"#, r#"{"a":1000,"b":7,"c":1,"d":false,"e":null}"#),
        ("use: cast, fields: {a: integer}", r#"{"a":123456789012345678901234567890.0}"#, r#"{"a":123456789012345678901234567890}"#),
        ("use: cast, fields: {a: integer}", r#"{"a":1.5}"#, "! `a` cannot be cast: the number has a fraction"),
        ("use: cast, fields: {a: number}", r#"{"a":"x"}"#, "! `a` cannot be cast: text is not a number"),
        ("use: cast, fields: {a: boolean}", r#"{"a":2}"#, "! `a` cannot be cast: a number is not true or false"),
        ("use: mask, fields: [card, /u/m, nope]", r#"{"card":"4111","u":{"m":[1]},"x":1}"#, r#"{"card":"***","u":{"m":"***"},"x":1}"#),
        ("use: mask, fields: card, with: hidden", r#"{"card":"4111"}"#, r#"{"card":"hidden"}"#),
        ("use: mask, fields: card, hash-key: key", r#"{"card":"The quick brown fox jumps over the lazy dog"}"#, r#"{"card":"f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"}"#),
        ("use: flatten", r#"{"a":{"b":1,"c":{"d":[{}],"e":{ }}},"f":2}"#, r#"{"a.b":1,"a.c.d":[{}],"a.c.e":{ },"f":2}"#),
        ("use: flatten, separator: _", r#"{"a":{"b":1}}"#, r#"{"a_b":1}"#),
        ("use: flatten", r#"{"a.b":1,"a":{"b":2}}"#, "! the name `a.b` stands twice in an object"),
        ("use: flatten", "1", "! the value is a number, not an object"),
        ("use: split", r#"[1,{"a":2.0},"x"]"#, r#"1 | {"a":2.0} | "x""#),
        ("use: split", "[]", ""),
        ("use: split, field: /o/items", r#"{"o":{"items":[1,2]},"id":7}"#, "1 | 2"),
        ("use: split, field: /o/items, keep: value", r#"{"o":{"items":[1,2]},"id":7}"#, r#"{"o":{"items":1},"id":7} | {"o":{"items":2},"id":7}"#),
        ("use: split, field: items", r#"{"items":{}}"#, "! `items` is an object, not a list"),
        ("use: split, field: items", "{}", "! there is nothing at `items` of the value"),
        ("use: key-by, field: shop", r#"{"shop":"Zürich"}"#, r#"Zürich = {"shop":"Zürich"}"#),
        ("use: key-by, field: [shop, /n]", r#"{"shop":"a\"","n":1.50}"#, r#"["a\"",1.50] = {"shop":"a\"","n":1.50}"#),
        ("use: key-by, field: shop", r#"{"shop":null}"#, "! null at `shop` cannot be a key"),
        ("use: filter, where: amount > 10", r#"{"amount":10.5}"#, r#"{"amount":10.5}"#),
        ("use: filter, where: amount > 10", r#"{"amount":10}"#, ""),
        ("use: filter, where: amount > 10", "{}", "! the value has no field `amount`; ask for it with `has(value.amount)`"),
        ("use: filter, where: amount", r#"{"amount":1}"#, "! the expression is int, neither true nor false"),
        ("use: filter, where: 'has(value.a) && value.a.b == \"x\"'", r#"{"a":{"b":"x"}}"#, r#"{"a":{"b":"x"}}"#),
        ("use: filter, where: 'has(value.a) && value.a.b == \"x\"'", "{}", ""),
        ("use: filter, where: 'key == \"k\" && timestamp == 7'", "1", "1"),
        ("use: filter, where: 'value.exists(i, i.sku.matches(\"^a\"))'", r#"[{"sku":"b"},{"sku":"a1"}]"#, r#"[{"sku":"b"},{"sku":"a1"}]"#),
        ("use: filter, where: 1 / n > 0", r#"{"n":0}"#, "! division by zero"),
        ("use: filter, where: n + 1 > 0", r#"{"n":9223372036854775807}"#, "! a number passes 64 bits"),
        ("use: filter, where: n > 0", r#"{"n":12345678901234567890123}"#, "! the number `12345678901234567890123` does not fit into 64 bits, which expressions compute with"),
        ("use: filter, where: n > 0", r#"{"n":1e999}"#, "! the number `1e999` does not fit into 64 bits, which expressions compute with"),
        ("use: filter, where: m > 0", r#"{"n":12345678901234567890123,"m":1}"#, r#"{"n":12345678901234567890123,"m":1}"#),
        ("use: map, to: '{\"z\": id, \"t\": double(amount) * 2.0, \"l\": [1, id]}'", r#"{"id":12345678901234567890123,"amount":1.10}"#,
         r#"{"z":12345678901234567890123,"t":2.2,"l":[1,12345678901234567890123]}"#),
        ("use: map, to: '{\"z\": id + 1}'", r#"{"id":12345678901234567890123}"#,
         "! the number `12345678901234567890123` does not fit into 64 bits, which expressions compute with"),
        ("use: map, to: '{\"m\": {\"z\": 1, string(a): a}}'", r#"{"a":2}"#, r#"{"m":{"2":2,"z":1}}"#),
        ("use: map, to: '{\"z\": id, \"a\": amount, \"s\": value.o.p, \"l\": [1, key]}'",
         r#"{"id":12345678901234567890123,"amount":1.10,"o":{"p":{"y":1,"x":2}}}"#,
         r#"{"z":12345678901234567890123,"a":1.10,"s":{"y":1,"x":2},"l":[1,"k"]}"#),
        ("use: map, to: value", r#"{"b":1.0,"a":[]}"#, r#"{"b":1.0,"a":[]}"#),
        ("use: map, to: 'items.map(i, i.n * 2)'", r#"{"items":[{"n":1},{"n":2}]}"#, "[2,4]"),
        ("use: map, to: size(name)", r#"{"name":"Zürich"}"#, "6"),
        ("use: map, to: x / y", r#"{"x":1.0,"y":0.0}"#, "! inf cannot be written as JSON"),
        ("use: route, routes: {big: amount > 100, small: amount > 0}", r#"{"amount":500}"#, r#"big: {"amount":500}"#),
        ("use: route, routes: {big: amount > 100, small: amount > 0}", r#"{"amount":5}"#, r#"small: {"amount":5}"#),
        ("use: route, routes: {big: amount > 100, small: amount > 0}", r#"{"amount":0}"#, r#"{"amount":0}"#),
        ("use: route, routes: {big: amount > 100}", "{}", "! route `big`: the value has no field `amount`; ask for it with `has(value.amount)`"),
    ];
    let mut wrong = Vec::new();
    for (settings, value, expected) in table {
        let said = said(settings, Some(value.as_bytes()));
        if said != expected {
            wrong.push(format!("{settings}\n  {value}\n  {said}\n  not {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

const EACH: [&str; 13] = [
    "use: filter, where: value == 1",
    "use: map, to: '{\"a\": value}'",
    "use: select, fields: [a, /b/c]",
    "use: drop, fields: a",
    "use: set, fields: {a: 1}",
    "use: cast, fields: {a: text}",
    "use: mask, fields: a",
    "use: flatten",
    "use: split",
    "use: route, routes: {one: value == 1}",
    "use: insert-field, fields: {a: 1}",
    "use: hoist-field, field: line",
    "use: key-by, field: a",
];

#[test]
fn a_tombstone_goes_on_as_one() {
    for settings in EACH {
        let expected = match settings {
            "use: key-by, field: a" => "! a tombstone has no value",
            "use: hoist-field, field: line" => r#"{"line":null}"#,
            _ => "nothing",
        };
        assert_eq!(said(settings, None), expected, "{settings}");
    }
}

#[test]
fn hostile_values_end_as_failures_in_bounded_time() {
    let deep = |open: &str, close: &str, n: usize| [open.repeat(n), close.repeat(n)].concat().into_bytes();
    let wide = format!("{{\"a\":[{}]}}", vec!["{\"k\":1}"; 100_000].join(","));
    let long_name = format!(
        "{{\"{}\":{{{}}}}}",
        "n".repeat(400_000),
        (0..50_000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",")
    );
    let values = [
        b"".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        b"{\"a\":\"\xff\"}".to_vec(),
        b"{\"a\":".to_vec(),
        b"{\"a\":\"\\ud800\"}".to_vec(),
        b"{\"a\":1,\"a\":2}".to_vec(),
        b"[[{\"a\":1,\"a\":2}]]".to_vec(),
        deep("[", "]", 400_000),
        deep("{\"a\":", "1}", 100_000),
        deep("[", "", 900_000),
        format!("{{\"a\":{}}}", "9".repeat(900_000)).into_bytes(),
        format!("{{\"a\":1e{}}}", "9".repeat(900_000)).into_bytes(),
        format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20)).into_bytes(),
        wide.into_bytes(),
        long_name.into_bytes(),
    ];
    for settings in EACH
        .iter()
        .chain(&["use: filter, where: 'value.exists(a, value.exists(b, a == b))'", "use: map, to: 'a.map(x, a)'"])
    {
        for value in &values {
            let before = Instant::now();
            let said = said(settings, Some(value));
            let start: String = String::from_utf8_lossy(value).chars().take(20).collect();
            assert!(before.elapsed().as_secs() < 20, "{settings} on {start} took {:?}", before.elapsed());
            assert!(!said.starts_with("!!"), "{settings} on {start}: {said:.200}");
        }
    }
}

#[test]
fn too_large_a_result_is_the_failure_of_that_record_alone() {
    let mut operator = operator("use: split, keep: value, field: l");
    let mut records = Batch::default();
    let large = format!("{{\"x\":\"{}\",\"l\":[{}]}}", "x".repeat(500_000), vec!["1"; 500].join(","));
    for value in [r#"{"l":[1]}"#, &large, r#"{"l":[2]}"#] {
        let value = Some(value.as_bytes());
        records.push(Message { key: None, value, headers: None, timestamp: Timestamp(0) });
    }
    let (came, outcome) = outcome(operator.as_mut(), call(records, Slots::default()));
    let values: Vec<_> = came.into_iter().map(|(_, _, value)| String::from_utf8(value.unwrap()).unwrap()).collect();
    assert_eq!(values, [r#"{"l":1}"#, r#"{"l":2}"#]);
    let failures = outcome.unwrap().failures;
    assert_eq!((failures.len(), failures[0].index), (1, 1));
    assert_eq!(failures[0].reason, "the output of one record passes the limit of 67108864 bytes");
}

#[test]
fn key_headers_and_time_are_kept() {
    for settings in EACH.iter().filter(|settings| !settings.contains("key-by")) {
        let mut operator = operator(settings);
        let headers = encode_headers([("h", Some(&b"1"[..]))]);
        let mut records = Batch::default();
        let value = if settings.contains("split") { "[1]" } else { "{\"a\":1}" };
        let message = Message {
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            headers: Some(&headers),
            timestamp: Timestamp(7),
        };
        records.push(message);
        let outputs = operator.declaration().outputs.len();
        let (scope, _) = operator.call(Box::new(Scope::detached(call(records, Slots::default()), outputs)));
        for (_, came) in scope.into_parts().1.iter().flat_map(wasmill_core::flow::Flow::iter) {
            assert_eq!((came.key, came.headers, came.timestamp), (message.key, message.headers, message.timestamp));
        }
    }
}

#[test]
fn expressions_that_cannot_be_run_are_refused_with_the_file() {
    let deep = format!("use: filter, where: '{}'", vec!["1"; 300].join(" + "));
    let nested = format!("use: filter, where: '{}1{}'", "(".repeat(2_000), ")".repeat(2_000));
    let long = format!("use: filter, where: '{}'", "a || ".repeat(5_000));
    for (settings, says) in [
        ("use: filter, where: 'amount >'", "this is not a CEL expression: "),
        ("use: filter, where: 'a b'", "this is not a CEL expression: "),
        ("use: filter, where: ''", "this is not a CEL expression: "),
        (&deep, "the expression is nested more than 100 deep"),
        (&nested, "this is not a CEL expression: "),
        (&long, "the expression is longer than 10000 bytes"),
    ] {
        let error = built(settings).unwrap_err().to_string();
        assert!(error.contains(says) && error.contains("pipeline.yaml:5:"), "{settings:.60}: {error:.300}");
    }
}

#[test]
fn the_deepest_expression_that_is_read_can_be_run() {
    let settings = format!("use: map, to: '{}'", vec!["1"; 95].join(" + "));
    assert_eq!(said(&settings, Some(b"{}")), "95");
    let settings = format!("use: map, to: '{}1{}'", "[".repeat(60), "]".repeat(60));
    assert_eq!(said(&settings, Some(b"{}")), format!("{}1{}", "[".repeat(60), "]".repeat(60)));
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", built("use: mask, fields: a, hash-key: hunter2").unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    #[test]
    fn no_value_makes_a_built_in_panic(value in prop::collection::vec(any::<u8>(), 0..60), at in 0..EACH.len()) {
        said(EACH[at], Some(&value));
    }

    #[test]
    fn no_json_makes_a_built_in_fail_as_a_whole(value in "[\\[\\]{}\",:a0-9e.\\\\ntruefalse-]{0,40}", at in 0..EACH.len()) {
        prop_assert!(!said(EACH[at], Some(value.as_bytes())).starts_with("!!"));
    }

    #[test]
    fn masked_fields_are_never_in_the_output(secret in "[a-z]{12}") {
        let value = format!(r#"{{"a":"{secret}","b":{{"a":1}}}}"#);
        prop_assert!(!said("use: mask, fields: a", Some(value.as_bytes())).contains(&secret));
        prop_assert!(!said("use: mask, fields: a, hash-key: k", Some(value.as_bytes())).contains(&secret));
    }
}
