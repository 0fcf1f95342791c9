#![allow(clippy::unwrap_used)]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// A pipe, its task, and the other end of its socket.
async fn connect() -> (Arc<Pipe>, JoinHandle<()>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    let (pipe, task) = Pipe::new(socket, || {});
    (Arc::new(pipe), tokio::spawn(task), server)
}

fn ping() -> Commands {
    Commands::of(&[&[b"PING"]])
}

fn send(pipe: &Arc<Pipe>, commands: Commands) -> JoinHandle<RedisResult<Vec<Value>>> {
    let pipe = Arc::clone(pipe);
    tokio::spawn(async move { pipe.send(&commands).await })
}

/// The replies to a command that was spawned.
async fn replies(sent: JoinHandle<RedisResult<Vec<Value>>>) -> RedisResult<Vec<Value>> {
    timeout(PATIENCE, sent).await.unwrap().unwrap()
}

async fn receive(server: &mut TcpStream, commands: &Commands) {
    let mut received = vec![0; commands.packed().len()];
    timeout(PATIENCE, server.read_exact(&mut received)).await.unwrap().unwrap();
    assert_eq!(received, commands.packed());
}

#[tokio::test]
async fn each_caller_gets_the_replies_to_its_own_commands() {
    let (pipe, _task, mut server) = connect().await;
    let callers: Vec<_> = (0..200_usize)
        .map(|caller| {
            let name = caller.to_string();
            let one: &[&[u8]] = &[b"ECHO", name.as_bytes()];
            send(&pipe, Commands::of(&vec![one; caller % 3 + 1]))
        })
        .collect();
    let (mut input, mut output) = server.split();
    let echo = async {
        let mut arrived = Vec::new();
        loop {
            assert!(input.read_buf(&mut arrived).await.unwrap() > 0);
            // Each command is an array of two, and its second part is the reply.
            while let Some(start) = whole(&arrived) {
                let (command, rest) = arrived.split_at(start);
                output.write_all(&command[b"*2\r\n$4\r\nECHO\r\n".len()..]).await.unwrap();
                arrived = rest.to_vec();
            }
        }
    };
    let all = async {
        for (number, caller) in callers.into_iter().enumerate() {
            let expected = Value::BulkString(number.to_string().into_bytes());
            assert_eq!(replies(caller).await.unwrap(), vec![expected; number % 3 + 1]);
        }
    };
    tokio::select! {
        () = echo => unreachable!(),
        () = all => {}
    }
}

/// The length of the first command, if all of it has arrived.
fn whole(arrived: &[u8]) -> Option<usize> {
    let ends = arrived.windows(2).enumerate().filter(|(_, end)| end == b"\r\n");
    ends.map(|(at, _)| at + 2).nth(4)
}

#[tokio::test]
async fn a_caller_that_gives_up_leaves_its_place() {
    let (pipe, _task, mut server) = connect().await;
    let gone = send(&pipe, ping());
    receive(&mut server, &ping()).await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let stays = send(&pipe, ping());
    receive(&mut server, &ping()).await;
    server.write_all(b":1\r\n:2\r\n").await.unwrap();
    assert_eq!(replies(stays).await.unwrap(), [Value::Int(2)]);
    assert!(lock(&pipe.0.state).callers.is_empty());
}

#[tokio::test]
async fn all_who_wait_learn_that_the_connection_is_lost() {
    let (pipe, task, mut server) = connect().await;
    let callers: Vec<_> = (0..3).map(|_| send(&pipe, ping())).collect();
    receive(&mut server, &Commands::of(&[&[b"PING"], &[b"PING"], &[b"PING"]])).await;
    server.write_all(b"+PONG\r\n+PO").await.unwrap();
    drop(server);
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.push(replies(caller).await.map_err(|error| error.is_connection_dropped()));
    }
    assert_eq!(outcomes[1..], [Err(true), Err(true)]);
    assert!(outcomes[0].is_ok());
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(pipe.send(&ping()).await.unwrap_err().is_connection_dropped());
}

#[tokio::test]
async fn a_reply_that_no_caller_waits_for_ends_the_connection() {
    let (pipe, task, mut server) = connect().await;
    server.write_all(b":1\r\n").await.unwrap();
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert!(pipe.send(&ping()).await.unwrap_err().is_connection_dropped());
}

#[tokio::test]
async fn a_pipe_that_is_dropped_closes_its_connection() {
    let (pipe, task, mut server) = connect().await;
    drop(pipe);
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, server.read(&mut [0])).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_command_that_the_socket_takes_in_parts_arrives_whole() {
    let (pipe, _task, mut server) = connect().await;
    let body = vec![b'x'; 32 << 20];
    let long = || Commands::of(&[&[b"SET", b"name", &body]]);
    let (first, second) = (send(&pipe, long()), send(&pipe, ping()));
    receive(&mut server, &long()).await;
    receive(&mut server, &ping()).await;
    server.write_all(b"+OK\r\n+PONG\r\n").await.unwrap();
    assert_eq!(replies(first).await.unwrap(), [Value::Okay]);
    assert_eq!(replies(second).await.unwrap(), [Value::SimpleString("PONG".to_owned())]);
}

#[tokio::test]
async fn commands_that_are_ready_together_go_out_in_one_write() {
    let (pipe, _task, mut server) = connect().await;
    // While this one waits for its reply, the others are not alone.
    let first = send(&pipe, ping());
    receive(&mut server, &ping()).await;
    let others: Vec<_> = (0..50).map(|_| send(&pipe, ping())).collect();
    let mut received = vec![0; 64 << 10];
    let bytes = timeout(PATIENCE, server.read(&mut received)).await.unwrap().unwrap();
    assert_eq!(bytes, 50 * ping().packed().len());
    server.write_all("+PONG\r\n".repeat(51).as_bytes()).await.unwrap();
    for caller in others.into_iter().chain([first]) {
        assert!(replies(caller).await.is_ok());
    }
}

#[test]
fn callers_learn_that_the_runtime_of_the_connection_has_ended() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (ends, stays) = (runtime(), runtime());
    let (pipe, _task, _server) = ends.block_on(connect());
    let waiting = stays.spawn({
        let pipe = Arc::clone(&pipe);
        async move { pipe.send(&ping()).await }
    });
    stays.block_on(tokio::task::yield_now());
    drop(ends);
    let lost = stays.block_on(async { timeout(PATIENCE, waiting).await.unwrap().unwrap() });
    assert!(lost.unwrap_err().is_connection_dropped());
}

/// Fills the buffers of the socket, so that the task waits until it can write.
async fn clog(pipe: &Arc<Pipe>) -> (JoinHandle<RedisResult<Vec<Value>>>, Commands) {
    let body = vec![b'x'; 32 << 20];
    let long = || Commands::of(&[&[b"SET", b"name", &body]]);
    let clogging = send(pipe, long());
    tokio::task::yield_now().await;
    (clogging, long())
}

/// Otherwise a slow server carries out useless commands, and no caller is in time any more.
#[tokio::test]
async fn a_command_that_was_not_written_yet_is_not_sent_for_a_caller_that_has_gone() {
    let (pipe, _task, mut server) = connect().await;
    let (_clogging, long) = clog(&pipe).await;
    for round in 0..100 {
        let body = vec![b'y'; 1 << 16];
        let gone = send(&pipe, Commands::of(&[&[b"SET", b"gone", &body]]));
        tokio::task::yield_now().await;
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled(), "{round}");
    }
    let waiting = lock(&pipe.0.state).out.len();
    let stays = send(&pipe, ping());
    receive(&mut server, &long).await;
    let mut next = vec![0; ping().packed().len()];
    timeout(PATIENCE, server.read_exact(&mut next)).await.unwrap().unwrap();
    assert_eq!(next, ping().packed(), "{waiting} bytes were left by callers that had gone");
    server.write_all(b"+OK\r\n+PONG\r\n").await.unwrap();
    assert!(replies(stays).await.is_ok());
}

/// A server or a proxy may reject a long command before it has read all of it. The next command must
/// not be read as a part of that command, because the rest of its bytes would then be commands.
#[tokio::test]
async fn a_command_behind_an_early_reply_is_not_written_into_the_middle_of_another_one() {
    let (pipe, _task, mut server) = connect().await;
    let (clogging, long) = clog(&pipe).await;
    server.write_all(b"-ERR too long\r\n").await.unwrap();
    assert!(replies(clogging).await.is_ok());
    // The other end makes space, and the next caller may come before the task runs again.
    let mut received = vec![0; long.packed().len() + ping().packed().len()];
    let mut bytes = 0;
    let pinged = loop {
        bytes += timeout(PATIENCE, server.read(&mut received[bytes..])).await.unwrap().unwrap();
        if bytes > 1 << 20 {
            break send(&pipe, ping());
        }
    };
    timeout(PATIENCE, server.read_exact(&mut received[bytes..])).await.unwrap().unwrap();
    let (first, second) = received.split_at(long.packed().len());
    assert!(first == long.packed() && second == ping().packed(), "the commands are mixed");
    server.write_all(b"+PONG\r\n").await.unwrap();
    assert!(replies(pinged).await.is_ok());
}

#[tokio::test]
async fn a_pipe_that_is_dropped_closes_its_connection_while_the_server_does_not_read() {
    let (pipe, task, _server) = connect().await;
    let (clogging, _) = clog(&pipe).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    clogging.abort();
    assert!(clogging.await.unwrap_err().is_cancelled());
    drop(pipe);
    timeout(PATIENCE, task).await.unwrap().unwrap();
}

/// Threads of two runtimes, callers that go at any time, and a server that returns the caller's own
/// number in pieces.
#[test]
fn no_caller_gets_the_reply_of_another_one() {
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
    };
    let (owner, other) = (runtime(), runtime());
    let (pipe, _task, mut server) = owner.block_on(connect());
    owner.spawn(async move {
        let (mut input, mut output) = server.split();
        let mut arrived = Vec::new();
        while input.read_buf(&mut arrived).await.unwrap() > 0 {
            let mut replied = Vec::new();
            let mut at = 0;
            while let Some(end) = whole(&arrived[at..]) {
                replied.extend_from_slice(&arrived[at + b"*2\r\n$4\r\nECHO\r\n".len()..at + end]);
                at += end;
            }
            arrived.drain(..at);
            let half = replied.len() / 3;
            output.write_all(&replied[..half]).await.unwrap();
            output.write_all(&replied[half..]).await.unwrap();
        }
    });
    let caller = |pipe: Arc<Pipe>, caller: usize| async move {
        let (mut gone, mut complete) = (0, 0);
        for round in 0..3000_usize {
            let name = format!("{caller}-{round}");
            let one: &[&[u8]] = &[b"ECHO", name.as_bytes()];
            let count = (caller + round) % 3 + 1;
            let commands = Commands::of(&vec![one; count]);
            let sent = pipe.send(&commands);
            if (caller * 31 + round * 17).is_multiple_of(5) {
                let mut sent = Box::pin(sent);
                for _ in 0..round % 3 {
                    if futures_poll(sent.as_mut()).await {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                gone += 1;
                continue;
            }
            let replies = timeout(PATIENCE, sent).await.unwrap().unwrap();
            assert_eq!(replies, vec![Value::BulkString(name.into_bytes()); count]);
            complete += 1;
        }
        (gone, complete)
    };
    let callers: Vec<_> = (0..64)
        .map(|number| {
            let runtime = if number % 2 == 0 { &owner } else { &other };
            runtime.spawn(caller(Arc::clone(&pipe), number))
        })
        .collect();
    other.block_on(async {
        for caller in callers {
            let (gone, complete) = caller.await.unwrap();
            assert!(gone > 0 && complete > 0);
        }
        timeout(PATIENCE, async {
            while !lock(&pipe.0.state).callers.is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    });
}

async fn futures_poll(mut future: Pin<&mut (impl Future + ?Sized)>) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}
