//! A source file as the ruler sees it: where it belongs, how long it is, and every path it names.
//!
//! Not a parser of Rust: comments, strings and characters are taken out, the rest is cut into words and marks, and paths
//! are read off, `use` trees expanded.

/// One file below `src/`.
pub struct Source {
    /// Relative to `src/`, such as `http/endpoints/token.rs`.
    pub path: String,
    /// The module the file is, such as `http, endpoints, token`; empty for the crate's roots.
    pub module: Vec<String>,
    pub lines: usize,
    pub named: Vec<Named>,
    /// Modules written within this file, or announced by it.
    pub declared: Vec<String>,
}

/// A path that a file names.
pub struct Named {
    /// Whether it starts at our crate's root (which is left out), else it is as written.
    pub inside: bool,
    pub path: Vec<String>,
    pub line: usize,
}

struct Token {
    text: String,
    line: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let mut module: Vec<String> = path.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|it| it == "mod") || ["main.rs", "lib.rs"].contains(&path) {
            module.pop();
        }
        let tokens = tokens(text);
        let mut reader =
            Reader { tokens: &tokens, at: 0, module: module.clone(), named: Vec::new(), declared: Vec::new() };
        reader.read();
        let Reader { named, declared, .. } = reader;
        Self { path: path.to_owned(), module, lines: text.lines().count(), named, declared }
    }

    /// Where `pattern` (see `ONLY_IN`) occurs as consecutive parts of a path.
    pub fn lines_naming<'a>(&'a self, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
        let parts: Vec<&str> = pattern.split("::").collect();
        let same = |part: &str, wanted: &str| match wanted.strip_suffix('*') {
            Some(start) => part.starts_with(start),
            None => part == wanted,
        };
        self.named
            .iter()
            .filter(move |named| {
                named
                    .path
                    .windows(parts.len())
                    .any(|window| window.iter().zip(&parts).all(|(it, wanted)| same(it, wanted)))
            })
            .map(|named| named.line)
    }

    pub fn says(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.path)
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    /// The module at this place: the file's, and those opened within it.
    module: Vec<String>,
    named: Vec<Named>,
    declared: Vec<String>,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens.get(self.at + ahead).map_or("", |token| token.text.as_str())
    }

    fn read(&mut self) {
        // Per open brace, whether it opened a module.
        let mut braces = Vec::new();
        while self.at < self.tokens.len() {
            match self.text(0) {
                "mod" if is_word(self.text(1)) => {
                    let name = self.text(1).to_owned();
                    self.declared.push(name.clone());
                    let opens = self.text(2) == "{";
                    if opens {
                        self.module.push(name);
                        braces.push(true);
                    }
                    self.at += if opens { 3 } else { 2 };
                }
                "{" => {
                    braces.push(false);
                    self.at += 1;
                }
                "}" => {
                    if braces.pop() == Some(true) {
                        self.module.pop();
                    }
                    self.at += 1;
                }
                "::" if is_word(self.text(1)) => self.at += 1,
                word if is_word(word) => self.path(&[]),
                _ => self.at += 1,
            }
        }
    }

    /// Reads a path, or the tree of a `use`, that continues `before`.
    fn path(&mut self, before: &[String]) {
        let line = self.tokens[self.at].line;
        let mut path = before.to_vec();
        loop {
            path.push(self.text(0).to_owned());
            self.at += 1;
            if self.text(0) != "::" {
                break;
            }
            if is_word(self.text(1)) {
                self.at += 1;
            } else if self.text(1) == "{" {
                self.at += 2;
                self.group(&path);
                return;
            } else {
                // A glob, or the arguments of a generic.
                self.at += 1;
                break;
            }
        }
        self.note(path, line);
    }

    fn group(&mut self, before: &[String]) {
        while self.at < self.tokens.len() {
            match self.text(0) {
                "}" => {
                    self.at += 1;
                    return;
                }
                "as" => self.at += 2,
                word if is_word(word) => self.path(before),
                _ => {
                    if self.text(0) == "*" {
                        let line = self.tokens[self.at].line;
                        self.note(before.to_vec(), line);
                    }
                    self.at += 1;
                }
            }
        }
    }

    fn note(&mut self, mut path: Vec<String>, line: usize) {
        if path.len() > 1 && path.last().is_some_and(|it| it == "self") {
            path.pop();
        }
        let mut absolute = match path[0].as_str() {
            "crate" | "mooring" if path.len() > 1 => Vec::new(),
            "super" | "self" if path.len() > 1 => self.module.clone(),
            _ => {
                self.named.push(Named { inside: false, path, line });
                return;
            }
        };
        for part in path.into_iter().skip_while(|it| it == "crate" || it == "mooring") {
            match part.as_str() {
                "self" => {}
                "super" => drop(absolute.pop()),
                _ => absolute.push(part),
            }
        }
        self.named.push(Named { inside: true, path: absolute, line });
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|it: char| it == '_' || it.is_alphabetic())
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let (mut tokens, mut i, mut line) = (Vec::new(), 0, 1);
    while i < chars.len() {
        let start = i;
        match chars[i] {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && chars[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => i = end_of_comment(&chars, i),
            '"' => i = end_of_string(&chars, i),
            // A character, else a lifetime.
            '\'' if at(i + 1) == '\\' => {
                i += 3;
                while i < chars.len() && chars[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            '\'' if at(i + 2) == '\'' => i += 3,
            '\'' => i += 1,
            it if it == '_' || it.is_alphabetic() => {
                while at(i) == '_' || at(i).is_alphanumeric() {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                let raw = word.ends_with('r') && word.len() <= 2;
                match raw.then(|| end_of_raw_string(&chars, i)).flatten() {
                    Some(end) => i = end,
                    // `b"…"` and `c"…"`: the next turn takes the string; `r#name` loses its `r`.
                    None if raw && at(i) == '#' => {}
                    None => tokens.push(Token { text: word, line }),
                }
            }
            ':' if at(i + 1) == ':' => {
                tokens.push(Token { text: "::".to_owned(), line });
                i += 2;
            }
            it => {
                if !it.is_whitespace() {
                    tokens.push(Token { text: it.to_string(), line });
                }
                i += 1;
            }
        }
        let end = i.min(chars.len());
        line += chars[start..end].iter().filter(|it| **it == '\n').count();
    }
    tokens
}

/// Comments nest.
fn end_of_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut depth) = (start, 0);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// `after_r` is the place behind the `r`; nothing when no raw string starts there.
fn end_of_raw_string(chars: &[char], after_r: usize) -> Option<usize> {
    let hashes = chars[after_r..].iter().take_while(|it| **it == '#').count();
    if chars.get(after_r + hashes) != Some(&'"') {
        return None;
    }
    let mut i = after_r + hashes + 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take_while(|it| **it == '#').count() >= hashes {
            return Some(i + 1 + hashes);
        }
        i += 1;
    }
    Some(i)
}
