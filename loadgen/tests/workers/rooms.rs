//! The smallest server of rooms: whoever connects to `/ws/ROOM` is a member and gets what is sent there.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

type Members = Arc<Mutex<HashMap<String, Vec<TcpStream>>>>;

/// Serves until the test ends. Each connection has a thread.
pub(crate) fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let members = Members::default();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, members) = (stream.unwrap(), Arc::clone(&members));
            // Its end is an ordinary thing.
            std::thread::spawn(move || drop(attend(stream, &members)));
        }
    });
    address
}

fn attend(mut stream: TcpStream, members: &Members) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).unwrap();
    let room = head.split(' ').nth(1).unwrap().to_owned();
    stream.set_nodelay(true)?;
    // Nobody checks the key.
    stream.write_all(b"HTTP/1.1 101 .\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")?;
    members.lock().unwrap().entry(room.clone()).or_default().push(stream.try_clone()?);
    loop {
        let (first, payload) = masked_frame(&mut stream)?;
        if first & 0x0f == 8 {
            return Ok(());
        }
        let mut frame = match u8::try_from(payload.len()) {
            Ok(length @ ..126) => vec![first, length],
            _ => [&[first, 126][..], &u16::try_from(payload.len()).unwrap().to_be_bytes()].concat(),
        };
        frame.extend_from_slice(&payload);
        members.lock().unwrap().get_mut(&room).unwrap().retain_mut(|member| member.write_all(&frame).is_ok());
    }
}

fn masked_frame(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut length = u16::from(head[1] & 0x7f);
    if length == 126 {
        let mut bytes = [0; 2];
        stream.read_exact(&mut bytes)?;
        length = u16::from_be_bytes(bytes);
    }
    let mut mask = [0; 4];
    stream.read_exact(&mut mask)?;
    let mut payload = vec![0; usize::from(length)];
    stream.read_exact(&mut payload)?;
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Ok((head[0], payload))
}
