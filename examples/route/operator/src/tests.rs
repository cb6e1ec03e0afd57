use wasmill_sdk::{Error, Message, Result, Timestamp, testing};

use super::Route;

const SETTINGS: &str = r#"{"large-from": 100}"#;

fn order(json: &str) -> Message<'_> {
    Message::new(json, Timestamp::from_millis(7))
}

#[test]
fn orders_go_where_their_amount_says() -> Result<()> {
    let mut route = testing::transform::<Route>(SETTINGS)?;
    let [small, large] = [r#"{"id": "a", "amount": 99}"#, r#"{"id": "b", "amount": 100}"#];
    route.send([order(large), order(small), order(large)])?;
    assert_eq!(route.take("small"), [order(small)]);
    assert_eq!(route.take("large"), [order(large), order(large)]);
    assert_eq!(route.take("main"), []);
    Ok(())
}

#[test]
fn what_is_no_order_fails_and_says_why() -> Result<()> {
    let cases = [
        ("{", "parse the value as JSON: EOF while parsing an object at line 1 column 1"),
        (r#"{"id": "a"}"#, "parse the value as JSON: missing field `amount` at line 1 column 11"),
        (r#"{"id": "a", "amount": 0}"#, "order a has an amount of 0"),
    ];
    let mut route = testing::transform::<Route>(SETTINGS)?;
    route.send(cases.map(|(json, _)| order(json)))?;
    let reasons: Vec<_> = route.failures().iter().map(|failed| failed.reason.as_str()).collect();
    assert_eq!(reasons, cases.map(|(_, reason)| reason));
    assert_eq!((route.take("small"), route.take("large")), (vec![], vec![]));
    Ok(())
}

#[test]
fn settings_that_do_not_fit_are_a_permanent_error() {
    for settings in ["{}", r#"{"large-from": "many"}"#, r#"{"large-from": 1, "larg": 2}"#] {
        assert!(matches!(testing::transform::<Route>(settings), Err(Error::Permanent(_))), "{settings}");
    }
}

#[test]
fn the_sample_goes_where_it_is_expected() -> Result<()> {
    let mut route = testing::transform::<Route>(r#"{"large-from": 1000}"#)?;
    route.send(include_str!("../../orders.txt").lines().map(order))?;
    let rejected: Vec<_> = route.failures().iter().map(|failed| failed.record.clone()).collect();
    let expected = |lines: &'static str| lines.lines().map(order).collect::<Vec<_>>();
    assert_eq!(route.take("large"), expected(include_str!("../../expected/large-orders.txt")));
    assert_eq!(route.take("small"), expected(include_str!("../../expected/small-orders.txt")));
    assert_eq!(rejected, expected(include_str!("../../expected/rejected-orders.txt")));
    Ok(())
}
