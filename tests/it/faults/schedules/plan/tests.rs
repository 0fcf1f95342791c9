use super::*;

#[test]
fn a_seed_gives_the_same_plan_again_and_another_seed_another_one() {
    for kind in Kind::ALL {
        let draw = |seed| Plan::draw(seed, kind, OnAbandoned::Rerun, 100);
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7).operations, draw(8).operations);
    }
}

#[test]
fn twenty_plans_of_250_operations_have_every_fault_of_their_stage_and_100_in_all() {
    for kind in Kind::ALL {
        let plans = (1..=20).map(|seed| Plan::draw(seed, kind, OnAbandoned::Reject, 250));
        let faults: Vec<_> =
            plans.flat_map(|plan| [plan.process_faults, plan.store_faults].concat()).collect();
        assert!(faults.len() > 100, "{kind:?}: {}", faults.len());
        for fault in kind.faults() {
            assert!(
                faults.iter().any(|planned| planned.fault == Fault::Store(*fault)),
                "{kind:?}: {fault:?}"
            );
        }
        let has = |of: fn(&Fault) -> bool| faults.iter().any(|planned| of(&planned.fault));
        assert!(has(|fault| matches!(fault, Fault::Kill(_))));
        assert!(has(|fault| matches!(fault, Fault::Stop(_))));
        assert!(has(|fault| matches!(fault, Fault::Drain(_))));
        assert_eq!(has(|fault| matches!(fault, Fault::Network(..))), kind.has_network());
        assert_eq!(has(|fault| *fault == Fault::Store(StoreFault::Wipe)), kind == Kind::Redis);
    }
}

#[test]
fn plans_have_senders_of_one_key_together_and_some_that_hang_up_and_handlers_beyond_the_lease() {
    let plan = Plan::draw(1, Kind::Redis, OnAbandoned::Rerun, 250);
    let any = |of: &dyn Fn(&Operation) -> bool| plan.operations.iter().any(of);
    assert!(any(&|operation| operation.senders.len() > 1));
    assert!(any(&|operation| operation.senders.iter().any(|sender| sender.hang_up.is_some())));
    assert!(any(&|operation| operation.takes > plan.settings.lease));
    assert!(any(&|operation| operation.fails) && any(&|operation| !operation.fails));
}

#[test]
fn plans_begin_with_a_quiet_time_in_which_handlers_run_beyond_the_lease() {
    for seed in 1..20 {
        let plan = Plan::draw(seed, Kind::Redis, OnAbandoned::Rerun, 250);
        let quiet = PACE * 250 / 3;
        assert!(plan.process_faults[0].pause >= quiet && plan.store_faults[0].pause >= quiet);
        let is_long = |operation: &&Operation| operation.takes > plan.settings.lease;
        assert!(
            plan.operations
                .iter()
                .filter(is_long)
                .any(|operation| operation.at + operation.takes < quiet)
        );
    }
}
