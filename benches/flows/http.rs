//! HTTP/1.1 on one kept-alive connection: no more than the load needs, so that on a small machine the client costs
//! little beside the server it measures.

use std::io;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub struct Connection {
    port: u16,
    host: String,
    stream: Option<TcpStream>,
    received: Vec<u8>,
    request: Vec<u8>,
}

/// What came back; it lives until the next request.
#[derive(Debug)]
pub struct Answer<'a> {
    pub status: u16,
    pub head: &'a str,
    pub body: &'a [u8],
}

struct Shape {
    status: u16,
    head: usize,
    body: usize,
    closes: bool,
}

impl Connection {
    pub fn new(port: u16) -> Self {
        Self { port, host: format!("localhost:{port}"), stream: None, received: Vec::new(), request: Vec::new() }
    }

    /// `headers` are whole lines, each with its line end.
    pub async fn get(&mut self, path: &str, headers: &str) -> io::Result<Answer<'_>> {
        self.send("GET", path, headers, "").await
    }

    /// Sends a form.
    pub async fn post(&mut self, path: &str, headers: &str, form: &str) -> io::Result<Answer<'_>> {
        self.send("POST", path, headers, form).await
    }

    async fn send(&mut self, method: &str, path: &str, headers: &str, form: &str) -> io::Result<Answer<'_>> {
        use std::io::Write;
        self.request.clear();
        write!(self.request, "{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}", self.host)?;
        if method == "POST" {
            write!(
                self.request,
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
                form.len()
            )?;
        } else {
            self.request.extend_from_slice(b"\r\n");
        }
        let kept = self.stream.is_some();
        let shape = match self.exchange().await {
            // The server may close a connection that was idle; what it did not begin to answer is sent once more.
            Err(error) if kept && self.received.is_empty() && error.kind() != io::ErrorKind::InvalidData => {
                self.stream = None;
                self.exchange().await?
            }
            other => other?,
        };
        if shape.closes {
            self.stream = None;
        }
        let head =
            std::str::from_utf8(&self.received[..shape.head]).map_err(|_| invalid("a header that is not text"))?;
        Ok(Answer { status: shape.status, head, body: &self.received[shape.head..shape.head + shape.body] })
    }

    async fn exchange(&mut self) -> io::Result<Shape> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        let Some(stream) = self.stream.as_mut() else { return Err(invalid("no connection")) };
        self.received.clear();
        stream.write_all(&self.request).await?;
        let head = loop {
            if let Some(end) = find(&self.received, b"\r\n\r\n") {
                break end + 4;
            }
            more(stream, &mut self.received).await?;
        };
        let (status, length, chunked, closes) = {
            let text = std::str::from_utf8(&self.received[..head]).map_err(|_| invalid("a header that is not text"))?;
            let status = text.get(9..12).and_then(|it| it.parse().ok()).ok_or_else(|| invalid("no status"))?;
            let length: Option<usize> = header(text, "content-length").and_then(|it| it.parse().ok());
            let chunked = header(text, "transfer-encoding").is_some_and(|it| it.eq_ignore_ascii_case("chunked"));
            (status, length, chunked, header(text, "connection").is_some_and(|it| it.eq_ignore_ascii_case("close")))
        };
        let body = if status == 204 || status == 304 {
            0
        } else if chunked {
            unchunk(stream, &mut self.received, head).await?
        } else if let Some(length) = length {
            while self.received.len() < head + length {
                more(stream, &mut self.received).await?;
            }
            length
        } else {
            // RFC 9112 §6.3: then the body ends with the connection.
            while more(stream, &mut self.received).await.is_ok() {}
            return Ok(Shape { status, head, body: self.received.len() - head, closes: true });
        };
        Ok(Shape { status, head, body, closes })
    }
}

impl Answer<'_> {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }

    /// Every cookie that is set, as `name=value`.
    pub fn cookies(&self) -> impl Iterator<Item = &str> {
        headers(self.head, "set-cookie").filter_map(|it| it.split(';').next())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(self.body).unwrap_or_default()
    }

    /// The string member `name` of a flat JSON object, without reading the rest. Tokens have no escapes.
    pub fn member(&self, name: &str) -> Option<&str> {
        let text = self.text();
        let mut rest = text;
        loop {
            let start = rest.find(name)?;
            let opens = rest[..start].ends_with('"');
            rest = &rest[start + name.len()..];
            if let Some(value) = rest.strip_prefix('"').filter(|_| opens) {
                return value.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split('"').next();
            }
        }
    }

    /// For a message: the status, where to, and how the body begins.
    pub fn summary(&self) -> String {
        let body: String = self.text().chars().take(300).collect();
        format!("{} {} {body}", self.status, self.header("location").unwrap_or_default())
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    headers(head, name).next()
}

fn headers<'a>(head: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    head.split("\r\n").filter_map(move |line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Takes the chunk frames (RFC 9112 §7.1) out of what is received; returns the body's length.
async fn unchunk(stream: &mut TcpStream, received: &mut Vec<u8>, head: usize) -> io::Result<usize> {
    let (mut read, mut written) = (head, head);
    loop {
        let line = loop {
            match find(&received[read..], b"\r\n") {
                Some(end) => break read + end,
                None => more(stream, received).await?,
            }
        };
        let size = std::str::from_utf8(&received[read..line])
            .ok()
            .and_then(|it| usize::from_str_radix(it.split(';').next()?.trim(), 16).ok())
            .ok_or_else(|| invalid("a chunk without its size"))?;
        read = line + 2;
        while received.len() < read + size + 2 {
            more(stream, received).await?;
        }
        received.copy_within(read..read + size, written);
        written += size;
        read += size + 2;
        if size == 0 {
            return Ok(written - head);
        }
    }
}

async fn more(stream: &mut TcpStream, received: &mut Vec<u8>) -> io::Result<()> {
    received.reserve(4096);
    if stream.read_buf(received).await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
