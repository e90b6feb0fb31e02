//! The forms of a page, as a person would find them: where they go, what they already hold, which buttons they have.
//!
//! It reads the tags of our own pages; it is no HTML parser.

use super::browser::Seen;

/// A form of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form {
    pub action: String,
    /// Names and values of its inputs, in order.
    pub inputs: Vec<(String, String)>,
    /// Names and values of its buttons that have a name.
    pub buttons: Vec<(String, String)>,
}

impl Form {
    pub fn has_input(&self, name: &str) -> bool {
        self.inputs.iter().any(|(own, _)| own == name)
    }

    pub fn has_button(&self, name: &str, value: &str) -> bool {
        self.buttons.iter().any(|(own, set)| own == name && set == value)
    }
}

/// The form of the page that fits.
pub fn find(page: &Seen, fits: impl Fn(&Form) -> bool) -> Option<Form> {
    forms(&page.body).into_iter().find(fits)
}

fn forms(html: &str) -> Vec<Form> {
    let mut forms: Vec<Form> = Vec::new();
    let mut open = false;
    for tag in html.split('<').skip(1) {
        let (name, attributes) = tag.split_at(tag.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(tag.len()));
        let value = |wanted: &str| attribute(attributes, wanted);
        match (name, forms.last_mut().filter(|_| open)) {
            ("form", _) => {
                forms.push(Form { action: value("action").unwrap_or_default(), ..Form::default() });
                open = true;
            }
            ("/form", _) => open = false,
            ("input", Some(form)) => {
                form.inputs.extend(value("name").map(|name| (name, value("value").unwrap_or_default())));
            }
            ("button", Some(form)) => {
                form.buttons.extend(value("name").map(|name| (name, value("value").unwrap_or_default())));
            }
            _ => {}
        }
    }
    forms
}

/// The value of an attribute; `rest` begins behind the tag's name. Our pages put every value in double quotes.
fn attribute(mut rest: &str, wanted: &str) -> Option<String> {
    loop {
        rest = rest.trim_start();
        let end = rest.find(|c: char| c.is_whitespace() || c == '=' || c == '>')?;
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return None;
        }
        let Some(quoted) = after.strip_prefix("=\"") else {
            if name == wanted {
                return Some(String::new());
            }
            rest = after;
            continue;
        };
        let (value, after) = quoted.split_once('"')?;
        if name == wanted {
            return Some(unescaped(value));
        }
        rest = after;
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('&');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        if let Some((character, rest)) = part.split_once(';').and_then(|(name, rest)| Some((character(name)?, rest))) {
            plain.push(character);
            plain.push_str(rest);
        } else {
            plain.push('&');
            plain.push_str(part);
        }
    }
    plain
}

fn character(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_would_be_sent() {
        let html = r#"<input name="outside" value="x"><form method="post" action="/sign-in?a=1&amp;b=2">
            <input type="hidden" name="csrf" value="a&#x2f;b&quot;&#39;&unknown;"><input name="username" value=""
            autofocus required><input type="checkbox"><button name="decision" value="allow" type="submit">Allow</button>
            <button type="submit">Other</button></form><form action="/two"></form>"#;
        let found = forms(html);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].action, "/sign-in?a=1&b=2");
        assert_eq!(found[0].inputs[0], ("csrf".to_owned(), "a/b\"'&unknown;".to_owned()));
        assert!(found[0].has_input("username") && !found[0].has_input("outside"));
        assert!(found[0].has_button("decision", "allow") && found[0].buttons.len() == 1);
        assert_eq!(found[1], Form { action: "/two".into(), ..Form::default() });
    }

    #[test]
    fn broken_pages_end() {
        for html in ["<", "<form", "<form action", "<form action=", "<form action=\"x", "<form =\"\">", "<input name>"]
        {
            forms(html);
        }
    }
}
