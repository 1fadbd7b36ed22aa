//! How fast a server can be that does nothing but walk the trees: no JSON library, no checks, no log. A floor, not a service.
//!
//! `bare PORT TREES` answers `POST /` with the body `{"features":[...]}` by `{"probability":...}`, one thread per connection.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::{env, fs, thread};

struct Node {
    left: i32,
    right: i32,
    feature: usize,
    value: f32,
}

type Trees = Vec<Vec<Node>>;

fn load(path: &str) -> Trees {
    let text = fs::read_to_string(path).expect("the file of trees");
    let mut trees: Trees = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().expect("a word");
        if first == "tree" {
            trees.push(Vec::new());
            continue;
        }
        let mut next = || words.next().expect("four words");
        let node = Node {
            left: first.parse().expect("left"),
            right: next().parse().expect("right"),
            feature: next().parse().expect("feature"),
            value: next().parse().expect("value"),
        };
        trees.last_mut().expect("a tree").push(node);
    }
    trees
}

fn probability(trees: &Trees, features: &[f32]) -> f32 {
    let mut margin = 0.0f32;
    for tree in trees {
        let mut node = &tree[0];
        while node.left >= 0 {
            let side = if features[node.feature] < node.value { node.left } else { node.right };
            node = &tree[side as usize];
        }
        margin += node.value;
    }
    1.0 / (1.0 + (-margin).exp())
}

fn features(body: &str) -> Vec<f32> {
    let inside = body.split(['[', ']']).nth(1).unwrap_or("");
    inside.split(',').map(|word| word.trim().parse().unwrap_or(f32::NAN)).collect()
}

/// Length of the head and of the whole request, once the head is there.
fn lengths(buffer: &[u8]) -> Option<(usize, usize)> {
    let head = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?.to_ascii_lowercase();
    let length = text.split("content-length:").nth(1)?.lines().next()?.trim().parse::<usize>().ok()?;
    Some((head, head + length))
}

fn serve(mut stream: TcpStream, trees: &Trees) {
    stream.set_nodelay(true).expect("no delay");
    let (mut buffer, mut filled) = (vec![0u8; 65536], 0);
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(read) => filled += read,
        }
        let Some((head, whole)) = lengths(&buffer[..filled]) else { continue };
        if filled < whole {
            continue;
        }
        let body = std::str::from_utf8(&buffer[head..whole]).unwrap_or("");
        let answer = format!("{{\"probability\":{}}}", probability(trees, &features(body)));
        let reply = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}",
            answer.len(),
            answer
        );
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
        filled = 0;
    }
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let trees = Arc::new(load(&arguments[2]));
    let listener = TcpListener::bind(format!("127.0.0.1:{}", arguments[1])).expect("a free port");
    for stream in listener.incoming().flatten() {
        let trees = Arc::clone(&trees);
        thread::spawn(move || serve(stream, &trees));
    }
}
