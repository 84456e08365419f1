//! Bytes to arguments and replies to bytes: what every request pays before and after the
//! command itself, without a socket.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use larder_protocol::{Limits, Parsed, Parser, Reply, Version, encode};

/// Commands in a buffer: one read of a pipelining client.
const PIPELINE: usize = 16;

const VALUE: [u8; 64] = [b'v'; 64];

/// A command in the form clients send it.
fn request(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Parses all of `input` and returns the number of commands.
fn commands(parser: &mut Parser, mut input: &[u8]) -> usize {
    let mut count = 0;
    while let Ok(Parsed::Command { consumed }) = parser.parse(input, &Limits::DEFAULT) {
        black_box(parser.args(input).at(0));
        input = &input[consumed..];
        count += 1;
    }
    count
}

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    let pairs: Vec<&[u8]> = std::iter::once(&b"MSET"[..])
        .chain([&b"key:000000000001"[..], &VALUE].repeat(10))
        .collect();
    let cases = [
        ("PING", request(&[b"PING"])),
        ("GET", request(&[b"GET", b"key:000000000001"])),
        ("SET 64 B", request(&[b"SET", b"key:000000000001", &VALUE])),
        ("MSET of ten", request(&pairs)),
        ("inline GET", b"GET key:000000000001\r\n".to_vec()),
    ];
    for (name, command) in cases {
        let input = command.repeat(PIPELINE);
        let mut parser = Parser::new();
        assert_eq!(commands(&mut parser, &input), PIPELINE, "{name}");
        group.throughput(Throughput::Elements(PIPELINE as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| commands(&mut parser, black_box(&input)));
        });
    }
    group.finish();

    // A large value arriving in reads of 64 KiB: time must grow with its size, not with its
    // square.
    let mut group = criterion.benchmark_group("parse in pieces");
    for size in [256 * 1024, 2 * 1024 * 1024] {
        let input = request(&[b"SET", b"key", &vec![b'v'; size]]);
        group.throughput(Throughput::Bytes(input.len() as u64));
        group.bench_function(format!("{} KiB", size / 1024), |bencher| {
            let mut parser = Parser::new();
            bencher.iter(|| {
                let ends = (0..input.len()).step_by(64 * 1024).skip(1).chain([input.len()]);
                ends.map(|end| commands(&mut parser, black_box(&input[..end]))).sum::<usize>()
            });
        });
    }
    group.finish();
}

fn reply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let replies = [
        ("OK", Reply::Ok),
        ("integer", Reply::Int(1_234_567)),
        ("null", Reply::Null),
        ("bulk 64 B", Reply::Bulk(&VALUE)),
    ];
    for (name, reply) in replies {
        let mut out = Vec::with_capacity(16 * 1024);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                for _ in 0..PIPELINE {
                    encode(black_box(&reply), Version::Resp2, &mut out);
                }
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, parse, reply);
criterion_main!(benches);
