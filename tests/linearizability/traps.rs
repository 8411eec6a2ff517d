//! The checks themselves are checked: with histories that are known to be right or wrong, and against a search that
//! tries every order.

use crate::checker::{Call, Effect as _, PENDING, is_linearizable, unexplained};
use crate::history::{Clock, End, Event, Guess, History, Op, Outcome, Parity, Plan, Step, Ticks, Visit, Visits};
use crate::scenario::{Random, Scenario};
use crate::spec::{Effect, check};

// ---------------------------------------------------------------------------------------------------------------------
// Histories by hand

fn event(thread: usize, (from, to): (u64, u64), op: Op, outcome: Outcome) -> Event {
    Event { thread, from, to, op, outcome }
}

fn get(thread: usize, at: (u64, u64), key: u64, found: Option<u64>) -> Event {
    event(thread, at, Op::Get(key), Outcome::Value(found))
}

fn insert(thread: usize, at: (u64, u64), key: u64, new: u64, old: Option<u64>) -> Event {
    event(thread, at, Op::Insert(key, new), Outcome::Value(old))
}

fn remove(thread: usize, at: (u64, u64), key: u64, old: Option<u64>) -> Event {
    event(thread, at, Op::Remove(key), Outcome::Value(old))
}

fn swap(thread: usize, at: (u64, u64), old: u64, new: u64, done: bool) -> Event {
    let outcome = Outcome::Swapped(if done { Ok(old) } else { Err(new) });
    event(thread, at, Op::CompareAndSwap(0, Guess::Value(old), new), outcome)
}

fn clear(thread: usize, at: (u64, u64)) -> Event {
    event(thread, at, Op::Clear, Outcome::Done)
}

fn len(thread: usize, at: (u64, u64), len: usize) -> Event {
    event(thread, at, Op::Len, Outcome::Count(len))
}

/// An iteration that shows each of these entries at the given time.
fn iterate(thread: usize, (from, to): (u64, u64), op: Op, shown: &[(u64, u64, u64)]) -> Event {
    let mut left = from;
    let visit = |&(key, value, to): &(u64, u64, u64)| Visit { key, value, from: std::mem::replace(&mut left, to), to };
    let shown: Vec<Visit> = shown.iter().map(visit).collect();
    let mut keys: Vec<u64> = shown.iter().map(|visit| visit.key).collect();
    keys.sort_unstable();
    let twice = keys.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let first = shown.first().map(|visit| visit.to);
    let frozen = first.filter(|_| matches!(op, Op::Range(_) | Op::Snapshot)).map(|first| (from, first));
    let visits = Visits { total: shown.len(), shown, twice, complete: true, frozen, hint: None };
    event(thread, (from, to), op, Outcome::Visited(visits))
}

fn verdict(events: &[Event]) -> Result<(), String> {
    check(&History { keys: 2, events: events.to_vec() }).map_err(|violation| violation.what)
}

#[track_caller]
fn right(events: &[Event]) {
    assert_eq!(verdict(events), Ok(()));
}

#[track_caller]
fn wrong(events: &[Event]) {
    assert!(verdict(events).is_err(), "passes for right");
}

#[test]
fn one_after_the_other() {
    right(&[]);
    right(&[get(1, (0, 1), 0, None), insert(1, (2, 3), 0, 1, None), get(2, (4, 5), 0, Some(1))]);
    wrong(&[insert(1, (0, 1), 0, 1, None), get(2, (2, 3), 0, None)]);
    wrong(&[insert(1, (0, 1), 0, 1, None), insert(1, (2, 3), 0, 2, Some(1)), get(2, (4, 5), 0, Some(1))]);
    wrong(&[insert(1, (0, 1), 0, 1, None), get(2, (2, 3), 1, Some(1))]);
    wrong(&[get(1, (0, 1), 0, Some(1)), insert(1, (2, 3), 0, 1, None)]);
}

#[test]
fn equal_times_overlap() {
    right(&[insert(1, (0, 10), 0, 1, None), get(2, (10, 12), 0, None)]);
    wrong(&[insert(1, (0, 10), 0, 1, None), get(2, (11, 12), 0, None)]);
}

#[test]
fn writes_that_overlap_come_in_any_order() {
    let writes = [insert(1, (0, 90), 0, 1, None), insert(2, (1, 91), 0, 2, Some(3)), insert(3, (2, 92), 0, 3, Some(1))];
    let reads = |values: [u64; 3]| {
        [(10, 0), (20, 1), (30, 2)].map(|(at, index)| get(4, (at, at + 1), 0, Some(values[index as usize])))
    };
    right(&[writes.as_slice(), &reads([1, 3, 2])].concat());
    wrong(&[writes.as_slice(), &reads([1, 2, 3])].concat());
}

/// Each thread by itself sees an order, and the write is still under way.
#[test]
fn a_value_once_seen_is_there() {
    let write = insert(1, (0, 100), 0, 1, None);
    right(&[write.clone(), get(2, (10, 20), 0, None), get(3, (30, 40), 0, Some(1))]);
    wrong(&[write.clone(), get(2, (10, 20), 0, Some(1)), get(3, (30, 40), 0, None)]);
    right(&[write, get(2, (10, 30), 0, Some(1)), get(3, (20, 40), 0, None)]);
}

/// There is an order that each thread agrees with, but not with time.
#[test]
fn sequentially_consistent_is_not_enough() {
    wrong(&[
        insert(1, (0, 10), 0, 1, None),
        insert(2, (0, 10), 0, 2, Some(1)),
        get(3, (20, 30), 0, Some(2)),
        get(3, (40, 50), 0, Some(1)),
    ]);
}

#[test]
fn what_is_removed_is_removed_once_and_for_all() {
    let first = insert(1, (0, 1), 0, 1, None);
    let both = |second| [first.clone(), remove(1, (10, 20), 0, Some(1)), remove(2, (10, 20), 0, second)];
    right(&both(None));
    wrong(&both(Some(1)));
    let absent = get(3, (30, 31), 0, None);
    wrong(&[first.clone(), remove(1, (10, 40), 0, Some(1)), absent.clone(), get(3, (32, 33), 0, Some(1))]);
    right(&[first, remove(1, (10, 40), 0, Some(1)), absent, insert(3, (32, 33), 0, 2, None)]);
}

#[test]
fn comparisons_that_race() {
    let first = insert(1, (0, 1), 0, 1, None);
    right(&[first.clone(), swap(1, (10, 20), 1, 2, true), swap(2, (10, 20), 1, 3, false)]);
    wrong(&[first.clone(), swap(1, (10, 20), 1, 2, true), swap(2, (10, 20), 1, 3, true)]);
    wrong(&[first.clone(), swap(1, (10, 20), 1, 2, false), swap(2, (10, 20), 1, 3, false)]);
    // https://go.dev/issue/70970: the swap takes effect on a value that was replaced meanwhile.
    wrong(&[first, swap(1, (10, 20), 1, 2, true), insert(2, (12, 13), 0, 3, Some(1)), get(1, (30, 31), 0, Some(2))]);
}

#[test]
fn inserts_of_one_key_that_race() {
    let new = |thread, value| event(thread, (0, 10), Op::TryInsert(0, value), Outcome::Inserted(value));
    let occupied = Outcome::Occupied { current: 1, key: 0, value: 2 };
    right(&[new(1, 1), event(2, (0, 10), Op::TryInsert(0, 2), occupied.clone())]);
    wrong(&[new(1, 1), new(2, 2)]);
    wrong(&[event(2, (0, 10), Op::TryInsert(0, 2), occupied)]);
    let got =
        |value, called| event(2, (0, 10), Op::GetOrInsertWith(0, 2), Outcome::Entry { value: Some(value), called });
    right(&[new(1, 1), got(1, true)]);
    right(&[new(1, 1), got(1, false)]);
    wrong(&[new(1, 1), got(2, true)]);
    wrong(&[got(2, false)]);
}

#[test]
fn computations_that_race() {
    let first = insert(1, (0, 1), 0, 1, None);
    let update = |thread, new, saw| {
        event(thread, (10, 20), Op::Update(0, new), Outcome::Updated { saw: Some(saw), new: Some(new) })
    };
    right(&[first.clone(), update(1, 2, 1), update(2, 3, 2)]);
    wrong(&[first.clone(), update(1, 2, 1), update(2, 3, 1)]);
    let op = Op::Compute { key: 0, present: Plan::Remove, absent: Plan::Insert(4) };
    let compute = |saw, end| event(2, (10, 20), op, Outcome::Computed { saw, end });
    right(&[first.clone(), update(1, 2, 1), compute(Some(2), End::Removed(2))]);
    right(&[first.clone(), remove(1, (10, 20), 0, Some(1)), compute(None, End::Inserted(4))]);
    wrong(&[first.clone(), update(1, 2, 1), compute(None, End::Inserted(4))]);
    wrong(&[first, compute(Some(1), End::Absent)]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Weaker promises

#[test]
fn clear_has_one_moment_for_all_keys() {
    let both = [insert(1, (0, 1), 0, 1, None), insert(1, (2, 3), 1, 2, None), clear(1, (10, 40))];
    let gets = |first, second| [both.as_slice(), &[get(2, (12, 13), 0, first), get(2, (20, 21), 1, second)]].concat();
    right(&gets(None, None));
    right(&gets(Some(1), Some(2)));
    right(&gets(Some(1), None));
    assert_eq!(
        verdict(&gets(None, Some(2))).unwrap_err(),
        "no order of these operations, with clear at one moment, explains them"
    );
    wrong(&[both.as_slice(), &[get(2, (50, 51), 1, Some(2))]].concat());
}

#[test]
fn iterations_may_show_what_a_clear_removes_until_it_returns() {
    let history = |shown_at| {
        [
            insert(1, (0, 1), 0, 1, None),
            clear(1, (10, 40)),
            get(2, (20, 21), 0, None),
            iterate(2, (22, 60), Op::Snapshot, &[(0, 1, 30), (1, 2, shown_at)]),
            insert(3, (2, 3), 1, 2, None),
            iterate(1, (70, 71), Op::Range(None), &[]),
        ]
    };
    right(&history(39));
    wrong(&{
        let mut history = history(50);
        if let Outcome::Visited(visits) = &mut history[3].outcome {
            visits.shown[1].from = 45;
        }
        history
    });
    wrong(&[
        insert(1, (0, 1), 0, 1, None),
        remove(1, (10, 11), 0, Some(1)),
        iterate(2, (12, 14), Op::Iterate, &[(0, 1, 13)]),
    ]);
}

#[test]
fn iterations_show_what_is_there_throughout() {
    let first = insert(1, (0, 1), 0, 1, None);
    let nothing = iterate(2, (10, 30), Op::Iterate, &[]);
    wrong(&[first.clone(), nothing.clone()]);
    right(&[first.clone(), nothing.clone(), remove(1, (12, 13), 0, Some(1)), insert(1, (14, 15), 0, 2, None)][..3]);
    wrong(&[first.clone(), remove(1, (2, 3), 0, Some(1)), insert(1, (4, 5), 0, 2, None), nothing.clone()]);
    wrong(&[first.clone(), iterate(2, (10, 30), Op::Iterate, &[(0, 2, 12)]), insert(1, (15, 16), 0, 2, Some(1))]);
    wrong(&[first.clone(), iterate(2, (10, 30), Op::Iterate, &[(0, 1, 12), (0, 1, 14)])]);
    // New to the map, and shown by what had frozen it.
    let second = insert(1, (15, 16), 1, 2, None);
    let both = [(0, 1, 12), (1, 2, 20)];
    right(&[first.clone(), second.clone(), iterate(2, (10, 30), Op::Iterate, &both)]);
    wrong(&[first, second, iterate(2, (10, 30), Op::Range(None), &both)]);
}

#[test]
fn retain_removes_what_was_refused() {
    let first = insert(1, (0, 1), 0, 1, None);
    let retain = |shown: &[_]| iterate(2, (10, 30), Op::RetainNot(Parity::Odd), shown);
    let end = |shown: &[_]| iterate(0, (90, 91), Op::Range(None), shown);
    right(&[first.clone(), retain(&[(0, 1, 12)]), end(&[])]);
    wrong(&[first.clone(), retain(&[(0, 1, 12)]), end(&[(0, 1, 90)])]);
    wrong(&[first.clone(), retain(&[]), end(&[(0, 1, 90)])]);
    let overwrite = insert(1, (13, 14), 0, 2, Some(1));
    right(&[first.clone(), retain(&[(0, 1, 12), (0, 2, 15)]), overwrite.clone(), end(&[(0, 2, 90)])]);
    wrong(&[first, retain(&[(0, 1, 12)]), insert(1, (13, 14), 0, 2, None), overwrite, end(&[(0, 2, 90)])]);
}

#[test]
fn lengths_are_exact_when_nothing_else_runs() {
    let end = iterate(0, (90, 91), Op::Range(None), &[(0, 1, 90)]);
    let history = |len: Event| [insert(1, (10, 20), 0, 1, None), len, end.clone()];
    right(&history(len(2, (0, 9), 0)));
    wrong(&history(len(2, (0, 9), 1)));
    right(&history(len(2, (15, 16), 0)));
    right(&history(len(2, (15, 16), 1)));
    wrong(&history(len(2, (15, 16), 2)));
    wrong(&history(len(2, (21, 22), 0)));
    right(&history(len(2, (21, 22), 1)));
    right(&history(event(2, (15, 16), Op::IsEmpty, Outcome::Flag(true))));
    wrong(&history(event(2, (21, 22), Op::IsEmpty, Outcome::Flag(true))));
}

#[test]
fn lengths_account_for_what_clear_removed() {
    let end = iterate(0, (90, 91), Op::Range(None), &[]);
    let history = |len: Event| {
        let inserts = [insert(1, (0, 1), 0, 1, None), insert(1, (2, 3), 1, 2, None)];
        [inserts.as_slice(), &[clear(2, (10, 20)), len, end.clone()]].concat()
    };
    right(&history(len(1, (5, 6), 2)));
    wrong(&history(len(1, (5, 6), 1)));
    (0..=2).for_each(|number| right(&history(len(1, (12, 13), number))));
    wrong(&history(len(1, (12, 13), 3)));
    right(&history(len(1, (21, 22), 0)));
    wrong(&history(len(1, (21, 22), 1)));
}

#[test]
fn nothing_is_lost_or_too_much_in_the_end() {
    let end = iterate(0, (90, 91), Op::Range(None), &[(0, 1, 90)]);
    let fill = event(1, (10, 20), Op::Fill(7), Outcome::Count(7));
    wrong(&[insert(1, (0, 1), 0, 1, None), fill.clone(), end.clone()]);
    right(&[insert(1, (0, 1), 0, 1, None), fill, event(1, (30, 31), Op::Drain(9), Outcome::Count(7)), end.clone()]);
    wrong(&[end]);
}

// ---------------------------------------------------------------------------------------------------------------------
// The search

/// Tries every order.
fn has_order(state: Option<u64>, calls: &[Call<Effect>]) -> bool {
    if calls.iter().all(|call| call.to == PENDING) {
        return true;
    }
    (0..calls.len()).any(|first| {
        let mut rest = calls.to_vec();
        let call = rest.remove(first);
        let is_first = rest.iter().all(|other| other.to >= call.from);
        is_first && call.effect.apply(state).is_some_and(|next| has_order(next, &rest))
    })
}

fn random_calls(random: &mut Random) -> Vec<Call<Effect>> {
    let value = |random: &mut Random| (random.below(3) != 0).then(|| random.below(3));
    let count = 2 + random.below(5) as usize;
    let call = |event| {
        let from = random.below(12);
        let to = if random.below(8) == 0 { PENDING } else { from + random.below(6) };
        let effect = match random.below(8) {
            0 | 1 => Effect::Is(value(random)),
            2 => Effect::IsPresent,
            3 => Effect::IsNot(random.below(3)),
            4 => Effect::RemoveIfStill(random.below(3)),
            5 => Effect::Remove,
            _ => Effect::Change { from: value(random), to: value(random) },
        };
        Call { from, to, effect, event }
    };
    (0..count).map(call).collect()
}

#[test]
fn the_search_finds_what_trying_every_order_finds() {
    let mut random = Random::new(7);
    let mut verdicts = [0; 2];
    for _ in 0..20_000 {
        let calls = random_calls(&mut random);
        let expected = has_order(None, &calls);
        assert_eq!(is_linearizable(None, &calls), expected, "{calls:?}");
        verdicts[usize::from(expected)] += 1;
        let part = unexplained(None, &calls);
        assert_eq!(part.is_empty(), expected, "{calls:?}");
        assert!(expected || !has_order(None, &part), "{calls:?} was reduced to {part:?}");
    }
    assert!(verdicts.iter().all(|&times| times > 2_000), "wrong and right: {verdicts:?}");
}

#[test]
fn a_report_shows_no_more_than_it_has_to() {
    let calls = [
        (0, 1, Effect::Change { from: None, to: Some(1) }),
        (2, 3, Effect::Is(Some(1))),
        (4, 9, Effect::Change { from: Some(1), to: Some(2) }),
        (5, 6, Effect::Is(Some(3))),
        (7, 8, Effect::IsPresent),
        (10, 11, Effect::Remove),
    ];
    let calls: Vec<_> = (0..).zip(calls).map(|(event, (from, to, effect))| Call { from, to, effect, event }).collect();
    let shown: Vec<usize> = unexplained(None, &calls).iter().map(|call| call.event).collect();
    assert_eq!(shown, [0, 2, 3]);
}

// ---------------------------------------------------------------------------------------------------------------------
// Scenarios

#[test]
fn scenarios_are_the_same_again_and_write_no_value_twice() {
    for seed in 0..300 {
        let scenario = Scenario::new(seed, 2 + seed as usize % 3);
        assert_eq!(format!("{scenario:?}"), format!("{:?}", Scenario::new(seed, 2 + seed as usize % 3)));
        let steps: Vec<Step> = scenario.setup.iter().chain(scenario.threads.iter().flatten()).copied().collect();
        let mut values: Vec<u64> = steps.iter().flat_map(|step| step.op.writes()).collect();
        let written = values.len();
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), written, "seed {seed}");
        assert!(steps.iter().all(|step| step.op.key().is_none_or(|key| key < scenario.keys)));
    }
}

#[test]
fn ticks_never_stand_still() {
    let clock = Ticks::default();
    let times = [clock.before(), clock.after(), clock.clone().before(), clock.after()];
    assert!(times.is_sorted_by(|earlier, later| earlier < later));
}
