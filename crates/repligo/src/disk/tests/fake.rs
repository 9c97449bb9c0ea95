//! A file system in memory that separates written from durable.
//!
//! What a sync has not covered is decided at a power loss: each 512-byte sector keeps the old or the new
//! content, directory changes keep a prefix. A failed sync leaves the new content readable and not
//! durable, and no later sync makes it so, as Linux does. Any operation can be the one in which the process
//! is killed; a write then leaves a prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Random;
use crate::disk::storage::{Birth, Storage, StorageFile};

const SECTOR: usize = 512;

#[derive(Clone, Default)]
struct Content {
    data: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Content {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.data.len() < end {
            let old = self.data.len();
            self.data.resize(end, 0);
            self.dirty.extend(old / SECTOR..end.div_ceil(SECTOR));
        }
        self.data[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        self.durable.resize(self.data.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.settle(sector);
        }
    }

    /// Makes one sector durable, as far as the durable file reaches.
    fn settle(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.durable.len()).min(self.data.len());
        if start < end {
            self.durable[start..end].copy_from_slice(&self.data[start..end]);
        }
    }

    fn lose_power(&mut self, random: &mut Random) {
        if self.data.len() < self.durable.len() || random.chance(50) {
            self.durable.resize(self.data.len(), 0);
        }
        let kept = [0, 50, 90, 100][random.below(4) as usize];
        for sector in std::mem::take(&mut self.dirty) {
            if random.chance(kept) {
                self.settle(sector);
            }
        }
        self.data = self.durable.clone();
    }
}

enum Change {
    Link(String, usize),
    Rename(String, String),
    Remove(String),
}

fn apply(names: &mut BTreeMap<String, usize>, change: &Change) {
    match change {
        Change::Link(name, file) => {
            names.insert(name.clone(), *file);
        }
        Change::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        Change::Remove(name) => {
            names.remove(name);
        }
    }
}

/// What goes wrong, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// The process dies in this operation that changes something (counted down to 0).
    pub kill_in: Option<u64>,
    /// This sync fails (counted down to 0).
    pub fail_sync_in: Option<u64>,
    /// Bytes that all files together may have.
    pub capacity: Option<u64>,
}

#[derive(Default)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    changes: Vec<Change>,
    faults: Faults,
    /// Grows when the process ends; handles of before are dead.
    life: u64,
    random: u64,
    syncs: u64,
}

impl State {
    /// Counts one operation; true if the process dies in it.
    fn dies(&mut self) -> bool {
        match &mut self.faults.kill_in {
            Some(0) => {
                self.life += 1;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }
}

fn killed() -> io::Error {
    io::Error::other("the process was killed")
}

/// The machine's disk; outlives processes and power losses.
#[derive(Clone, Default)]
pub(crate) struct FakeDisk(Arc<Mutex<State>>);

impl FakeDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as a new process sees it.
    pub fn mount(&self) -> FakeMount {
        let mut state = self.state();
        state.life += 1;
        FakeMount {
            disk: self.clone(),
            life: state.life,
        }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Number of syncs so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Bytes that all files together have.
    pub fn used(&self) -> u64 {
        let state = self.state();
        let lengths = state
            .names
            .values()
            .map(|file| state.files[*file].data.len() as u64);
        lengths.sum()
    }

    /// The power fails: what was not synced is kept or lost at random.
    pub fn lose_power(&self, random: &mut Random) {
        let mut state = self.state();
        state.life += 1;
        let changes = std::mem::take(&mut state.changes);
        let kept = random.below(changes.len() as u64 + 1) as usize;
        let mut names = std::mem::take(&mut state.durable_names);
        for change in &changes[..kept] {
            apply(&mut names, change);
        }
        state.names = names.clone();
        state.durable_names = names;
        for file in &mut state.files {
            file.lose_power(random);
        }
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.names[name]].data.clone()
    }

    /// Replaces a file's content, durably, behind everyone's back.
    pub fn replace(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = match state.names.get(name) {
            Some(file) => *file,
            None => {
                state.files.push(Content::default());
                let file = state.files.len() - 1;
                state.names.insert(name.into(), file);
                state.durable_names.insert(name.into(), file);
                file
            }
        };
        state.files[file] = Content {
            data: bytes.clone(),
            durable: bytes,
            dirty: BTreeSet::new(),
        };
    }

    pub fn delete(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }
}

/// The disk in the hands of one process.
pub(crate) struct FakeMount {
    disk: FakeDisk,
    life: u64,
}

impl FakeMount {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life == self.life {
            Ok(state)
        } else {
            Err(killed())
        }
    }

    /// For an operation on names: it has happened or not when the process dies in it.
    fn changing(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state()?;
        if state.dies() { Err(killed()) } else { Ok(state) }
    }

    fn file(&self, number: usize) -> Arc<dyn StorageFile> {
        Arc::new(FakeFile {
            mount: FakeMount {
                disk: self.disk.clone(),
                life: self.life,
            },
            number,
        })
    }
}

fn existing(state: &State, name: &str) -> io::Result<usize> {
    state
        .names
        .get(name)
        .copied()
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Storage for FakeMount {
    fn dir(&self) -> &Path {
        Path::new("/fake")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state()?.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let number = existing(&*self.state()?, name)?;
        Ok(self.file(number))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.changing()?;
        // A new file instead of emptying the old one: the old content may come back at a power loss, which
        // is more than a real file system would do to us.
        state.files.push(Content::default());
        let number = state.files.len() - 1;
        state.change(Change::Link(name.into(), number));
        drop(state);
        Ok(self.file(number))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.changing()?;
        existing(&state, from)?;
        state.change(Change::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.changing()?;
        existing(&state, name)?;
        state.change(Change::Remove(name.into()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.changing()?;
        state.changes.clear();
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct FakeFile {
    mount: FakeMount,
    number: usize,
}

impl StorageFile for FakeFile {
    fn birth(&self) -> io::Result<Birth> {
        // Files that tests put there are not copies.
        Ok(Birth {
            number: 1,
            born_ns: 2,
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.mount.state()?.files[self.number].data.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.mount.state()?;
        let rest = state.files[self.number]
            .data
            .get(offset as usize..)
            .unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, slices: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut state = self.mount.state()?;
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        if state.dies() {
            state.random += 1;
            let kept = Random(state.random ^ bytes.len() as u64).below(bytes.len() as u64 + 1) as usize;
            state.files[self.number].write(offset as usize, &bytes[..kept]);
            return Err(killed());
        }
        let used: u64 = state
            .names
            .values()
            .map(|file| state.files[*file].data.len() as u64)
            .sum();
        let length = state.files[self.number].data.len() as u64;
        let grows = (offset + bytes.len() as u64).saturating_sub(length);
        let room = state
            .faults
            .capacity
            .map_or(u64::MAX, |capacity| capacity.saturating_sub(used));
        let kept = if grows > room {
            bytes.len() - (grows - room) as usize
        } else {
            bytes.len()
        };
        state.files[self.number].write(offset as usize, &bytes[..kept]);
        if kept < bytes.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.mount.changing()?;
        state.syncs += 1;
        match &mut state.faults.fail_sync_in {
            Some(0) => {
                state.faults.fail_sync_in = None;
                state.files[self.number].dirty.clear();
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.files[self.number].sync();
        Ok(())
    }
}
