//! Clusters of several hosts whose machines, disks and networks fail, each host a network of its own: what is promised then, and
//! when. The tests wait for most of their time, so more of them run at a time than there are processors, which is what cargo's
//! own harness goes by.
//!
//! Deliberately absent: what the clusters' programs do (`programs.rs`), and blows at random (`soaks.rs`).

mod cluster;
mod cut;
mod deadlock;
mod frozen;
mod full;
mod here;
mod network;
mod partitions;
mod reset;
mod restarts;
mod spread;

use deploy_tests::{harness, trials};

fn main() {
    // The longest first.
    let tests = trials![
        cut::who_talks_over_a_network_that_is_cut_is_told_and_nobody_else,
        network::who_watches_and_loses_its_power_leaves_nothing_at_the_master,
        here::keys_input_and_debuggers_are_those_of_a_program_that_runs_alone,
        here::a_network_that_is_away_for_a_while_ends_nothing_and_for_long_it_does,
        cluster::a_node_that_is_cut_off_is_suspected_then_lost_and_comes_back,
        network::a_node_on_a_slow_line_is_there_whatever_waits_for_the_line,
        network::a_network_that_loses_packets_is_slower_and_nothing_else,
        partitions::nothing_runs_twice_over_partitions,
        spread::three_nodes_take_a_program_from_the_head_once,
        cluster::a_node_that_loses_its_power_is_lost_and_one_that_is_killed_returns_at_once,
        network::a_node_that_is_not_heard_is_lost_in_time,
        network::a_node_that_does_not_hear_is_lost_in_time,
        frozen::a_disk_that_stands_still_keeps_no_node_from_answering_or_killing,
        frozen::a_disk_that_stands_still_holds_up_only_what_is_to_be_written,
        deadlock::a_circle_over_three_nodes_is_told_and_explained,
        deadlock::a_circle_is_told_by_a_master_that_was_started_meanwhile,
        spread::two_people_send_one_program_at_once,
        spread::a_node_that_vanishes_halfway_is_replaced,
        here::what_cuts_it_off_is_the_end_of_the_process_here_and_of_no_other,
        network::an_end_is_told_on_another_node_at_once_and_of_a_killed_job_nothing_is_left,
        network::a_node_that_lost_its_power_returns_at_once_and_its_processes_are_known_to_be_gone,
        reset::what_is_reset_is_lost_also_where_its_sender_has_ended_since,
        reset::what_is_reset_is_lost_also_for_who_talks_over_tcp_alone,
        restarts::a_job_goes_on_under_a_master_that_is_killed,
        cluster::three_nodes_join_by_the_line_that_the_master_prints,
        cluster::the_long_form_expects_nodes_and_bounds_what_they_give,
        cluster::who_has_not_joined_waits_and_goes_on_by_itself,
        cluster::each_token_is_for_one_purpose_and_time,
        cluster::two_daemons_live_on_one_machine_each_with_its_state,
        cluster::what_cannot_begin_says_why,
        cluster::a_drained_node_stays_and_says_so,
        cluster::nodes_come_back_to_a_master_that_was_killed,
        cluster::hosts_of_one_name_are_two_nodes,
        full::a_program_that_the_masters_disk_has_no_room_for_is_refused,
        full::a_program_that_a_nodes_disk_has_no_room_for_is_refused,
        full::a_job_goes_elsewhere_where_a_nodes_disk_has_no_room_for_it,
        full::a_job_that_the_masters_disk_has_no_room_for_is_refused_and_what_runs_goes_on,
    ];
    harness::run(tests, AT_ONCE_MIN)
}

/// Their clusters keep two processors half busy.
const AT_ONCE_MIN: usize = 4;
