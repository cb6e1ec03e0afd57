//! Tests of the whole system: real plugins, real Apache Kafka, the built binary.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test says what it expects by failing")]

#[path = "../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "also the library of the fuzz target")]
mod fuzz;
#[path = "guests/support.rs"]
#[expect(unreachable_pub, reason = "also read by the tests of single plugins")]
mod guests;
mod support;

mod bad_disks_are_told;
mod bad_files_are_told;
mod bad_input_is_told;
mod bad_plugins_are_refused;
mod bad_plugins_harm_nobody;
mod bad_records_become_dead_letters;
mod brokers_may_fail;
mod built_ins_need_no_code;
mod changes_by_hand_are_refused;
mod chaos;
mod commands_say_what_there_is;
mod compose_file_is_right;
mod documentation_is_run;
mod examples_do_what_they_say;
mod files_are_copied_exactly_once;
mod guests_are_fuzzed;
mod kafka_inputs_arrive;
mod kafka_is_secured;
mod kafka_ports;
mod kafka_runs_the_same_pipeline;
mod killed_processes_repeat_nothing;
mod leaking_guests_are_replaced;
mod monstrous_records_harm_nobody;
mod new_projects_work;
mod nodes_share_a_pipeline;
mod offsets_are_shown_and_reset;
mod operators_in_other_languages;
mod pipelines_are_verified;
mod plugins_are_reloaded;
mod records_that_kill_the_process_are_found;
mod running_pipelines_are_observed;
mod sources_get_wider;
mod sources_start_at_a_time;
mod steps_of_a_commit;
mod stores_are_mended;
mod tasks_come_and_go;
mod tasks_restore_beside_others;
