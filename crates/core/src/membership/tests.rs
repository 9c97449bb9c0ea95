//! Tests of the membership: numbers, changes that are refused, and what is stored of them.

use bytes::Bytes;

use super::*;

fn add(membership: &Membership, name: &str, replaces: Option<PeerId>) -> Change {
    Change::Add {
        number: membership.next_number(),
        name: name.to_owned(),
        address: format!("{name}:1"),
        key: 7,
        replaces,
    }
}

fn applied(membership: &mut Membership, change: &Change) -> bool {
    membership.apply(membership.index() + 1, change)
}

#[test]
fn a_formed_membership_numbers_its_nodes_by_name() {
    let nodes = [("b", "y"), ("a", "x")].map(|(name, address)| (name.to_owned(), address.to_owned()));
    let membership = Membership::formed(nodes);
    assert_eq!(membership.named("a").map(|(number, _)| number), Some(1));
    assert_eq!(membership.get(2).map(|member| member.address.as_str()), Some("y"));
    assert_eq!((membership.voters(), membership.next_number()), (vec![1, 2], 3));
}

#[test]
fn a_number_is_never_used_again() {
    let mut membership = Membership::of_count(3);
    assert!(applied(&mut membership, &Change::Remove { number: 3 }));
    assert!(membership.was_removed(3) && !membership.was_removed(4));
    let again = Change::Add {
        number: 3,
        name: "n4".to_owned(),
        address: String::new(),
        key: 0,
        replaces: None,
    };
    assert!(!applied(&mut membership, &again), "3 was used");
    let next = add(&membership, "n4", None);
    assert!(applied(&mut membership, &next));
    assert_eq!(membership.learners(), vec![4]);
}

#[test]
fn a_learner_votes_only_when_it_is_promoted_and_one_change_is_made_at_a_time() {
    let mut membership = Membership::of_count(1);
    let first = add(&membership, "a", None);
    assert!(applied(&mut membership, &first));
    assert_eq!((membership.voters(), membership.learners()), (vec![1], vec![2]));
    assert!(membership.decides_alone(1) && !membership.is_alone());
    let second = add(&membership, "b", None);
    assert!(matches!(
        membership.check(&second),
        Err(Refusal::InProgress { .. })
    ));
    assert!(applied(&mut membership, &Change::Promote { number: 2 }));
    assert_eq!((membership.voters(), membership.is_joint()), (vec![1, 2], false));
    assert_eq!(membership.check(&second), Ok(()));
    assert_eq!(
        membership.check(&first),
        Err(Refusal::NotPending),
        "its number is used"
    );
}

#[test]
fn who_replaces_another_takes_its_place_in_a_joint_configuration() {
    let mut membership = Membership::of_count(3);
    let replace = add(&membership, "n3", Some(3));
    assert!(applied(&mut membership, &replace));
    assert_eq!(membership.named("n3").map(|(number, _)| number), Some(4));
    assert!(applied(&mut membership, &Change::Promote { number: 4 }));
    assert_eq!(membership.voters(), vec![1, 2, 4]);
    assert_eq!(membership.outgoing(), vec![1, 2, 3]);
    assert!(!applied(&mut membership, &Change::Remove { number: 2 }), "joint");
    assert!(applied(&mut membership, &Change::Leave));
    assert!(!membership.is_joint() && membership.was_removed(3));
}

#[test]
fn what_is_in_here_already_is_not_applied_again() {
    let mut membership = Membership::of_count(3);
    let change = Change::Remove { number: 3 };
    assert!(membership.apply(9, &change));
    let before = membership.clone();
    let add = add(&membership, "n9", None);
    assert!(!membership.apply(9, &add) && !membership.apply(8, &add));
    assert_eq!(membership, before);
}

#[test]
fn every_refusal_says_what_to_do() {
    let membership = Membership::of_count(1);
    assert_eq!(
        membership.check(&Change::Remove { number: 1 }),
        Err(Refusal::LastVoter)
    );
    assert_eq!(
        membership.check(&Change::Remove { number: 9 }),
        Err(Refusal::NoSuchMember)
    );
    assert_eq!(
        membership.check(&add(&membership, "n 2", None)),
        Err(Refusal::BadName)
    );
    let taken = membership.check(&add(&membership, "n1", None));
    let name = "n1".to_owned();
    assert_eq!(taken, Err(Refusal::AlreadyMember { name: name.clone() }));
    let (alive, needed) = (1, 2);
    for (refusal, remedy) in [
        (Refusal::LastVoter, "Add another node first"),
        (Refusal::NoSuchMember, "repligo cluster nodes"),
        (
            Refusal::AlreadyMember { name: name.clone() },
            "repligo cluster replace",
        ),
        (Refusal::NoMajority { alive, needed }, "Start the others first"),
        (Refusal::StillAlive { name: name.clone() }, "Stop it first"),
        (
            Refusal::InProgress { name, replaces: None },
            "repligo cluster remove n1",
        ),
    ] {
        let text = refusal.explain();
        assert!(text.contains(remedy), "{text}");
    }
}

#[test]
fn memberships_and_changes_round_trip_and_every_cut_is_refused() {
    let mut membership = Membership::of_count(3);
    let replace = add(&membership, "n3", Some(3));
    let meet = Change::Meet {
        number: 2,
        address: "elsewhere:1".to_owned(),
        key: 5,
    };
    for change in [meet, replace, Change::Promote { number: 4 }, Change::Leave] {
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        assert_eq!(Change::decode(Bytes::from(bytes.clone())), Ok(change.clone()));
        for cut in 0..bytes.len() {
            assert!(Change::decode(Bytes::from(bytes[..cut].to_vec())).is_err());
        }
        assert!(applied(&mut membership, &change));
        let bytes = membership.to_bytes();
        assert_eq!(
            Membership::from_bytes(Bytes::from(bytes.clone())),
            Ok(membership.clone())
        );
        for cut in 0..bytes.len() {
            assert!(Membership::from_bytes(Bytes::from(bytes[..cut].to_vec())).is_err());
        }
    }
}
