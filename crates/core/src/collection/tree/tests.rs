//! Trees of ordered elements against a BTreeMap, what holds in every tree, and how many nodes are looked at.

use std::collections::BTreeMap;

use super::*;
use crate::collection::ordered::{At, Element, Ordered};
use crate::collection::ordered_tree::{OrderedBuilder, OrderedTree};
use crate::collection::testing::Random;

type Model = BTreeMap<(u32, Vec<u8>), Vec<u8>>;
type Pairs = OrderedTree<u32, true>;

impl<B: Block> Tree<B> {
    /// Panics unless every sum in the tree is what it says; returns the depth.
    pub(in crate::collection) fn check(&self) -> usize {
        let mut bytes = 0;
        let depth = check_node(&self.root, &mut bytes, true);
        assert_eq!(self.count, self.root.count());
        assert_eq!(self.bytes, bytes);
        depth
    }
}

fn check_node<B: Block>(node: &Node<B>, bytes: &mut usize, is_root: bool) -> usize {
    *bytes += node.bytes();
    match node {
        Node::Leaf(block) => {
            assert!(is_root || block.len() > 0, "a block is empty");
            1
        }
        Node::Inner(inner) => {
            assert!(inner.children.len() > usize::from(is_root));
            assert!(inner.children.len() <= FANOUT_MAX);
            let separators = inner
                .children
                .iter()
                .map(|child| B::separator_bytes(&child.separator));
            assert_eq!(inner.separator_bytes, separators.sum::<usize>());
            let depths = inner.children.iter().map(|child| {
                assert_eq!(child.count, child.node.count());
                check_node(&child.node, bytes, false)
            });
            let depths: Vec<usize> = depths.collect();
            assert!(
                depths.iter().all(|depth| *depth == depths[0]),
                "leaves are equally deep"
            );
            depths[0] + 1
        }
    }
}

fn pair(element: Element<'_, u32>) -> ((u32, Vec<u8>), Vec<u8>) {
    ((element.head, element.key.to_vec()), element.value.to_vec())
}

fn assert_same(tree: &Pairs, model: &Model) {
    tree.check();
    assert_eq!(tree.len(), model.len() as u64);
    let forward: Vec<_> = tree.from(0).map(pair).collect();
    assert!(forward.iter().map(|(key, value)| (key, value)).eq(model.iter()));
    let mut backward: Vec<_> = tree.back_from(tree.len()).map(pair).collect();
    backward.reverse();
    assert!(backward == forward);
}

fn rebuilt(tree: &Pairs) -> Pairs {
    let mut builder = OrderedBuilder::default();
    for element in tree.from(0) {
        assert!(builder.push(element.head, element.key, element.value));
        assert!(!builder.push(element.head, element.key, element.value));
    }
    assert_eq!(builder.len(), tree.len());
    builder.finish()
}

struct Run {
    random: Random,
    heads: u64,
    keys: u64,
    tree: Pairs,
    model: Model,
}

impl Run {
    fn key(&mut self) -> (u32, Vec<u8>) {
        let number = self.random.below(self.keys);
        let mut key = format!("key:{number}").into_bytes();
        // Some keys are long, always the same ones.
        if number.is_multiple_of(97) {
            key.resize(200 + number as usize % 1_500, b'x');
        }
        ((number % self.heads) as u32, key)
    }

    fn step(&mut self, growing: bool) {
        let (head, key) = self.key();
        match self.random.below(12) {
            0 => {
                let rank = self.random.below(self.tree.len() + 2);
                let count = self.random.below(40);
                let mut removed = Vec::new();
                let number = self
                    .tree
                    .remove_at(rank, count, &mut |element| removed.push(pair(element)));
                assert_eq!(number, removed.len() as u64);
                assert_eq!(number == 0, rank >= self.model.len() as u64 || count == 0);
                for ((key, value), at) in removed.into_iter().zip(rank as usize..) {
                    assert_eq!(self.model.iter().nth(rank as usize), Some((&key, &value)), "{at}");
                    self.model.remove(&key);
                }
            }
            1..=4 if !growing => {
                let mut seen = None;
                let is_removed = self.tree.remove(head, &key, |old| seen = Some(old.to_vec()));
                let expected = self.model.remove(&(head, key));
                assert_eq!(is_removed, expected.is_some());
                assert_eq!(seen, expected);
            }
            5 => {
                let rank = self.model.range(..(head, key.clone())).count() as u64;
                let is_there = self.model.contains_key(&(head, key.clone()));
                assert_eq!(self.tree.rank(head, &key), (rank, is_there));
                let at = self.tree.at(rank).map(pair);
                let expected = self.model.range((head, key)..).next();
                assert_eq!(at.as_ref().map(|(key, value)| (key, value)), expected);
            }
            _ => {
                let length = self.random.length();
                let value = self.random.bytes(length);
                let mut seen = None;
                let is_new = self
                    .tree
                    .insert(head, &key, &value, |old| seen = Some(old.to_vec()));
                assert_eq!(self.tree.get(head, &key), Some(&value[..]));
                let expected = self.model.insert((head, key), value);
                assert_eq!(is_new, expected.is_none());
                assert_eq!(seen, expected);
            }
        }
    }
}

#[test]
fn a_tree_is_an_ordered_map_and_its_clones_stay_what_they_were() {
    for seed in 0..24 {
        println!("seed {seed}");
        let mut random = Random(seed);
        let heads = [u64::from(u32::MAX), 1, 5][random.below(3) as usize];
        let keys = [60, 3_000, 30_000][random.below(3) as usize];
        let mut run = Run {
            random,
            heads,
            keys,
            tree: Pairs::default(),
            model: Model::new(),
        };
        let mut clones = Vec::new();
        for round in 0..8 {
            for _ in 0..700 {
                run.step(round % 4 < 3);
            }
            assert_same(&run.tree, &run.model);
            clones.push((run.tree.clone(), run.model.clone()));
            let built = rebuilt(&run.tree);
            assert_same(&built, &run.model);
            if round % 2 == 1 {
                run.tree = built;
            }
        }
        for (tree, model) in &clones {
            assert_same(tree, model);
        }
        while run.tree.remove_at(0, u64::MAX, &mut |_| ()) > 0 {
            run.tree.check();
        }
        assert_same(&run.tree, &Model::new());
        assert_eq!(run.tree.memory_bytes(), Pairs::default().memory_bytes());
    }
}

fn filled(count: u64) -> Pairs {
    let mut tree = Pairs::default();
    let mut random = Random(1);
    for number in 0..count {
        tree.insert(random.next() as u32, &number.to_le_bytes(), b"0123456789", |_| ());
    }
    tree
}

#[test]
fn everything_looks_at_few_nodes() {
    let mut tree = filled(200_000);
    let depth = tree.check() as u64;
    assert_eq!(depth, 3);
    let mut random = Random(2);
    for _ in 0..2_000 {
        visits::take();
        let (head, rank) = (random.next() as u32, random.below(tree.len()));
        tree.get(head, b"x");
        assert_eq!(visits::take(), depth);
        tree.rank(head, b"x");
        assert_eq!(visits::take(), depth);
        tree.at(rank);
        assert_eq!(visits::take(), depth);
        tree.from(rank).take(40).for_each(drop);
        assert!(visits::take() <= 2 * depth);
        tree.insert(head, b"x", b"y", |_| ());
        assert_eq!(visits::take(), depth);
        tree.remove(head, b"x", |_| ());
        // One to look, one to change, and a merge per level.
        assert!(visits::take() <= 4 * depth);
    }
    tree.from(0).for_each(drop);
    assert!(visits::take() < tree.len() / 50);
}

#[test]
fn a_change_copies_only_the_shared_part_of_its_path() {
    let mut tree = filled(100_000);
    assert_eq!(tree.take_copied_bytes(), 0);
    let clone = tree.clone();
    tree.insert(1, b"x", b"y", |_| ());
    let path_bytes = tree.take_copied_bytes();
    assert!((1..40_000).contains(&path_bytes), "{path_bytes}");
    tree.insert(1, b"y", b"y", |_| ());
    assert_eq!(tree.take_copied_bytes(), 0, "the path is its own now");
    assert_eq!(clone.len() + 2, tree.len());
    drop(clone);
    tree.insert(u32::MAX, b"z", b"y", |_| ());
    assert_eq!(tree.take_copied_bytes(), 0, "nobody shares it");
}

#[test]
fn elements_that_come_in_order_fill_their_blocks() {
    let mut tree = Pairs::default();
    for number in 0..50_000u32 {
        tree.insert(number, b"0123456789", b"", |_| ());
    }
    tree.check();
    let used = tree.len() as usize * (4 + 2 + 11);
    assert!(
        tree.memory_bytes() * 100 < used * 110,
        "{} of {used}",
        tree.memory_bytes()
    );
}

#[test]
fn a_tree_is_freed_in_bounded_slices() {
    let mut tree = filled(100_000);
    let clone = tree.clone();
    tree.insert(1, b"x", b"y", |_| ());
    let mut remains = Remains::default();
    remains.add(tree);
    let mut slices = 0;
    while !remains.free(10) {
        slices += 1;
        assert!(slices < 10_000);
    }
    assert!(slices < 20, "what a clone shares is not walked: {slices}");
    assert_eq!(clone.check(), 3);
    remains.add(clone);
    let before = remains.memory_bytes();
    remains.free(10);
    assert!(remains.memory_bytes() < before && remains.memory_bytes() > before / 2);
    let slices = (0..10_000).take_while(|_| !remains.free(10)).count();
    assert!((80..100).contains(&slices), "{slices}");
    assert_eq!(remains.memory_bytes(), 0);
    assert!(remains.free(0));
}

#[test]
fn a_block_finds_what_is_between_equal_heads() {
    let mut tree = OrderedTree::<u64, false>::default();
    for number in 0..20_000 {
        tree.insert(3, format!("{:05}", number * 7 % 20_000).as_bytes(), b"", |_| ());
    }
    tree.check();
    assert_eq!(tree.rank(3, b"10000"), (10_000, true));
    assert_eq!(tree.rank(3, b"10000x"), (10_001, false));
    assert_eq!(tree.rank(2, b"99999"), (0, false));
    assert_eq!(tree.rank(4, b""), (20_000, false));
    let block: &Ordered<u64, false> = tree.block(&mut At(3, b"00000"));
    assert_eq!(block.search(3, b"00000"), Ok(0));
}
