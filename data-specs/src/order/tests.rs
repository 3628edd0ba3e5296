use std::collections::BTreeMap;

use super::*;

/// The order that numbers are drawn in for tests: SplitMix64.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ x >> 31) % n
    }
}

/// 37 uneven shards with empty ones, 35,027 rows.
fn uneven() -> Vec<u64> {
    let mut draws = Draws(1);
    let mut rows: Vec<u64> =
        (0..37).map(|shard| if shard % 9 == 4 { 0 } else { 1 + draws.below(2_000) }).collect();
    rows[36] = 1;
    rows
}

fn order(rows: &[u64], seed: u64) -> SampleOrder {
    SampleOrder::new(rows, seed, OrderOptions::default()).unwrap()
}

fn share(batch: u64, world: u64, rank: u64, last: LastBatch) -> BatchShare {
    BatchShare { batch, world, rank, last }
}

fn every_row(rows: &[u64]) -> Vec<RowId> {
    (0_u32..).zip(rows).flat_map(|(shard, &rows)| (0..rows).map(move |row| RowId { shard, row })).collect()
}

#[test]
fn each_row_comes_exactly_once_per_epoch() {
    let cases: [&[u64]; 9] = [
        &uneven(),
        &[1],
        &[0, 0, 1, 0],
        &[5],
        &[0; 4],
        &[],
        &[1; 25],
        &[3, 0, 100, 1, 1, 1, 1, 1, 1, 1, 7, 50],
        &[1000; 30],
    ];
    for rows in cases {
        for block_shards in [1, 2, 10, 1000] {
            let order = SampleOrder::new(rows, 5, OrderOptions { shuffle: true, block_shards }).unwrap();
            for epoch in [0, 1, 1_000_000] {
                let mut read: Vec<RowId> = order.epoch(epoch).iter().collect();
                read.sort_unstable();
                assert_eq!(read, every_row(rows), "{rows:?}");
            }
            assert_eq!(order.at(0, order.len()), None);
        }
    }
}

#[test]
fn sequential_order_reads_rows_as_they_lie() {
    let rows = uneven();
    let options = OrderOptions { shuffle: false, ..OrderOptions::default() };
    let order = SampleOrder::new(&rows, 5, options).unwrap();
    for epoch in [0, 7] {
        assert!(order.epoch(epoch).iter().eq(every_row(&rows)));
    }
}

#[test]
fn blocks_hold_ten_shards_or_all() {
    let rows = uneven();
    let n_filled = rows.iter().filter(|&&rows| rows > 0).count();
    let epoch = order(&rows, 9).epoch(3);
    assert_eq!(epoch.blocks.len(), n_filled / 10);
    for (index, block) in epoch.blocks.iter().enumerate() {
        let end = epoch.blocks.get(index + 1).map_or(epoch.len(), |next| next.start);
        let mut shards: Vec<u32> =
            (block.start..end).map(|position| epoch.at(position).unwrap().shard).collect();
        shards.sort_unstable();
        shards.dedup();
        assert!((10..20).contains(&shards.len()), "{}", shards.len());
    }
    assert_eq!(order(&[3, 0, 4], 9).epoch(3).blocks.len(), 1);
}

#[test]
fn seeds_and_epochs_differ() {
    let rows = [1_000_u64; 30];
    let read = |seed, epoch| order(&rows, seed).epoch(epoch).iter().collect::<Vec<_>>();
    let base = read(1, 0);
    assert_eq!(base, read(1, 0));
    for (seed, epoch) in [(1, 1), (1, 2), (2, 0), (0, 1), (u64::MAX, 0)] {
        let agreements = base.iter().zip(read(seed, epoch)).filter(|(a, b)| **a == *b).count();
        assert!(agreements < 10, "seed {seed}, epoch {epoch}: {agreements} of 30,000 rows at the same place");
    }
}

#[test]
fn rows_and_shards_are_spread_over_the_epoch() {
    // Where does one row land? Over 2,000 epochs its position fills 10 cells evenly: chi-squared with 9 degrees
    // of freedom exceeds 33.7 once in ten thousand.
    let order = order(&[20; 40], 4);
    let wanted = [RowId { shard: 0, row: 0 }, RowId { shard: 17, row: 19 }, RowId { shard: 39, row: 10 }];
    let mut cells: BTreeMap<RowId, [f64; 10]> = BTreeMap::new();
    for epoch in 0..2_000 {
        for (position, row) in order.epoch(epoch).iter().enumerate() {
            if wanted.contains(&row) {
                cells.entry(row).or_default()[position * 10 / 800] += 1.0;
            }
        }
    }
    assert_eq!(cells.len(), 3, "each of the three rows was met");
    for (row, cells) in cells {
        let chi2: f64 = cells.iter().map(|count| (count - 200.0).powi(2) / 200.0).sum();
        assert!(chi2 < 33.7, "{row:?}: chi-squared {chi2}, {cells:?}");
    }
    // Neighbours come from the same shard as often as chance says: 19 of 199 within a block of ten.
    let epoch: Vec<RowId> = order.epoch(0).iter().collect();
    let same = epoch.windows(2).filter(|pair| pair[0].shard == pair[1].shard).count();
    assert!((40..=115).contains(&same), "{same} of 799");
}

#[test]
fn every_world_size_and_worker_count_reads_the_same() {
    let rows = uneven();
    let order = order(&rows, 11);
    let batch = 24 * 4;
    for last in [LastBatch::Short, LastBatch::Carry] {
        // 1,300 batches: over three epochs, more than 100,000 rows.
        let n_batches = 1_300;
        let global: Vec<Batch> =
            order.batches(&order.start(), share(batch, 1, 0, last)).unwrap().take(n_batches).collect();
        let total: usize = global.iter().map(|batch| batch.rows.len()).sum();
        assert!(total >= 100_000 && global.last().unwrap().epoch >= 2, "{total}");

        let mut compared = 0;
        for world in [1, 2, 3, 4, 5, 6, 8] {
            for workers in [0, 1, 2, 4] {
                let ranks: Vec<Vec<Batch>> = (0..world)
                    .map(|rank| {
                        let batches = order.batches(&order.start(), share(batch, world, rank, last)).unwrap();
                        read_with_workers(&batches, workers, n_batches)
                    })
                    .collect();
                for (index, expected) in global.iter().enumerate() {
                    let rows: Vec<RowId> =
                        ranks.iter().flat_map(|batches| batches[index].rows.iter().copied()).collect();
                    assert_eq!(rows, expected.rows, "world {world}, workers {workers}, batch {index}");
                    assert!(ranks.iter().all(|batches| batches[index].after == expected.after));
                    assert!(ranks.iter().all(|batches| batches[index].global_rows == rows.len() as u64));
                    if 96 % world == 0 && rows.len() == 96 {
                        assert!(ranks.iter().all(|batches| batches[index].rows.len() as u64 == 96 / world));
                    }
                }
                compared += total;
            }
        }
        println!("{last:?}: {total} rows, {compared} compared over 7 world sizes and 4 worker counts");
    }
}

/// Worker k reads batches k, k + workers, ... in a thread of its own; 0 workers read in this one.
fn read_with_workers(batches: &Batches<'_>, workers: usize, n: usize) -> Vec<Batch> {
    if workers == 0 {
        return batches.clone().take(n).collect();
    }
    let parts: Vec<Vec<Batch>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers)
            .map(|worker| {
                let mine = batches.clone().skip(worker).step_by(workers);
                scope.spawn(move || mine.take((n - worker).div_ceil(workers)).collect())
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (0..n).map(|index| parts[index % workers][index / workers].clone()).collect()
}

#[test]
fn batches_are_the_positions_of_the_epochs() {
    let order = order(&uneven(), 2);
    let stream: Vec<RowId> = (0..3).flat_map(|epoch| order.epoch(epoch).iter().collect::<Vec<_>>()).collect();
    for last in [LastBatch::Short, LastBatch::Carry] {
        let batches = order.batches(&order.start(), share(100, 1, 0, last)).unwrap();
        let read: Vec<RowId> = batches.flat_map(|batch| batch.rows).take(stream.len()).collect();
        assert!(read == stream, "{last:?}");
    }
    // The end of an epoch: one short batch, then position 0 of the next.
    let per_epoch = order.batches_per_epoch(100);
    let batches = order.batches(&order.start(), share(100, 1, 0, LastBatch::Short)).unwrap();
    let epoch: Vec<Batch> = batches.take(per_epoch as usize).collect();
    let end = epoch.last().unwrap();
    assert_eq!(end.rows.len() as u64, order.len() % 100);
    assert_eq!((end.epoch, end.after.epoch, end.after.position), (0, 1, 0));
    assert!(epoch.iter().flat_map(|batch| &batch.rows).copied().eq(order.epoch(0).iter()));
}

#[test]
fn a_batch_may_be_larger_than_the_data_set() {
    let order = order(&[2, 0, 1], 3);
    let carry = order.batches(&order.start(), share(8, 2, 1, LastBatch::Carry)).unwrap().next().unwrap();
    let stream: Vec<RowId> = (0..3).flat_map(|epoch| order.epoch(epoch).iter().collect::<Vec<_>>()).collect();
    assert_eq!(carry.rows, stream[4..8]);
    assert_eq!((carry.after.epoch, carry.after.position), (2, 2));
    // Three rows for eight ranks: five of them get none, and say so.
    let parts: Vec<usize> = (0..8)
        .map(|rank| order.batches(&order.start(), share(8, 8, rank, LastBatch::Short)).unwrap())
        .map(|mut batches| batches.next().unwrap().rows.len())
        .collect();
    assert_eq!(parts.iter().sum::<usize>(), 3);
}

#[test]
fn two_hundred_resumes_go_on_exactly() {
    let order = order(&uneven(), 6);
    let mut draws = Draws(99);
    let mut resumed = 0;
    for last in [LastBatch::Short, LastBatch::Carry] {
        let share = share(64, 4, 2, last);
        let straight: Vec<Batch> = order.batches(&order.start(), share).unwrap().take(1_700).collect();
        for _ in 0..120 {
            let index = draws.below(1_650) as usize;
            let json = serde_json::to_string(&straight[index].after).unwrap();
            let state: ReaderState = serde_json::from_str(&json).unwrap();
            let again = SampleOrder::new(&uneven(), 6, OrderOptions::default()).unwrap();
            let mut batches = again.batches(&state, share).unwrap();
            assert!(batches.by_ref().take(40).eq(straight[index + 1..index + 41].iter().cloned()));
            resumed += 1;
        }
    }
    println!("{resumed} resumes went on exactly");
}

#[test]
fn a_state_is_five_numbers() {
    let most = ReaderState {
        seed: u64::MAX,
        epoch: u64::MAX,
        position: u64::MAX,
        skipped: u64::MAX,
        order: u64::MAX,
    };
    let json = serde_json::to_value(most).unwrap();
    assert_eq!(json.as_object().unwrap().len(), 5);
    assert!(json.to_string().len() <= 256, "{}", json.to_string().len());
    assert!(order(&uneven(), 1).start().order < 1 << 53);
}

#[test]
fn skipping_by_hand_leaves_a_range_out() {
    let order = order(&uneven(), 8);
    let stream: Vec<RowId> = (0..3).flat_map(|epoch| order.epoch(epoch).iter().collect::<Vec<_>>()).collect();
    let mut state = order.start();
    for rows in [0, 17, order.len(), order.len() - 20] {
        state = order.skip(&state, rows).unwrap();
    }
    assert_eq!((state.epoch, state.position), (1, order.len() - 3));
    assert_eq!(state.skipped, 2 * order.len() - 3);
    let share = share(50, 1, 0, LastBatch::Carry);
    let batch = order.batches(&state, share).unwrap().next().unwrap();
    let from = state.skipped as usize;
    assert_eq!(batch.rows, stream[from..from + 50]);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let place = |error: Error| match error {
        Error::Spec { place, .. } => place,
        other => panic!("{other}"),
    };
    let order = order(&[10, 20], 1);
    let start = order.start();
    for (state, expected) in [
        (ReaderState { seed: 2, ..start }, "reader state, seed"),
        (ReaderState { order: start.order ^ 1, ..start }, "reader state, order"),
        (ReaderState { position: 30, ..start }, "reader state, position"),
        (ReaderState { epoch: u64::MAX, ..start }, "reader state, epoch"),
    ] {
        assert_eq!(place(order.check(&state).unwrap_err()), expected);
        assert_eq!(place(order.skip(&state, 1).unwrap_err()), expected);
    }
    // The same number of rows in other shards, or read as they lie, is another order.
    let other = SampleOrder::new(&[20, 10], 1, OrderOptions::default()).unwrap();
    assert_eq!(place(other.check(&start).unwrap_err()), "reader state, order");
    let other = SampleOrder::new(&[10, 20], 1, OrderOptions { shuffle: false, block_shards: 10 }).unwrap();
    assert_eq!(place(other.check(&start).unwrap_err()), "reader state, order");

    for (batch, world, rank) in [(0, 1, 0), (8, 2, 2), (8, 0, 0), (2, 3, 0), (u64::MAX, 1, 0)] {
        let share = share(batch, world, rank, LastBatch::Short);
        assert_eq!(place(order.batches(&start, share).unwrap_err()), "batch");
    }
    let empty = SampleOrder::new(&[0, 0], 1, OrderOptions::default()).unwrap();
    let share = share(8, 1, 0, LastBatch::Carry);
    assert_eq!(place(empty.batches(&empty.start(), share).unwrap_err()), "data set");
    assert_eq!(place(empty.skip(&empty.start(), 1).unwrap_err()), "data set");

    let options = OrderOptions { shuffle: true, block_shards: 0 };
    assert_eq!(place(SampleOrder::new(&[1], 1, options).unwrap_err()), "order.block_shards");
    let too_many = [u64::MAX, 1];
    assert_eq!(place(SampleOrder::new(&too_many, 1, OrderOptions::default()).unwrap_err()), "order.rows");
}
