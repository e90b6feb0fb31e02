//! What is on a page, read from its HTML: forms, their fields and buttons, headings.
//!
//! Enough for pages that are written by the rules of the contract; not a parser of HTML.

use url::Url;

use super::agent::Page;

/// A form, ready to be submitted.
#[derive(Clone, Debug)]
pub struct Form {
    pub action: Url,
    pub is_post: bool,
    /// Hidden inputs, and what was filled in.
    pub fields: Vec<(String, String)>,
    inputs: Vec<String>,
    buttons: Vec<(String, String)>,
}

impl Form {
    pub fn fill(mut self, name: &str, value: &str) -> Self {
        assert!(self.inputs.iter().any(|input| input == name), "no input {name} among {:?}", self.inputs);
        self.fields.retain(|(other, _)| other != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Presses a button: its name and value go with the form.
    pub fn press(mut self, name: &str, value: &str) -> Self {
        let button = (name.to_owned(), value.to_owned());
        assert!(self.buttons.contains(&button), "no button {button:?} among {:?}", self.buttons);
        self.fields.push(button);
        self
    }

    /// Presses the first button that has a name.
    pub fn press_first(self) -> Self {
        let (name, value) = self.buttons.first().expect("a button").clone();
        self.press(&name, &value)
    }

    /// Another value in a hidden field, or none.
    pub fn forge(mut self, name: &str, value: Option<&str>) -> Self {
        assert!(self.fields.iter().any(|(other, _)| other == name), "no field {name} among {:?}", self.fields);
        self.fields.retain(|(other, _)| other != name);
        self.fields.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        self
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

impl Page {
    /// Every form of the page.
    pub fn forms(&self) -> Vec<Form> {
        self.body.split("<form").skip(1).map(|rest| self.form(rest.split("</form>").next().unwrap_or(rest))).collect()
    }

    fn form(&self, html: &str) -> Form {
        let opening = html.split('>').next().unwrap_or_default();
        let action = attribute(opening, "action").unwrap_or_default();
        let mut form = Form {
            action: self.url.join(&action).expect("an action is a URL"),
            is_post: attribute(opening, "method").is_some_and(|method| method.eq_ignore_ascii_case("post")),
            fields: Vec::new(),
            inputs: Vec::new(),
            buttons: Vec::new(),
        };
        for tag in html.split('<').skip(1) {
            let Some(name) = attribute(tag, "name") else { continue };
            let value = attribute(tag, "value").unwrap_or_default();
            if tag.starts_with("button") {
                form.buttons.push((name, value));
            } else if tag.starts_with("input") {
                if attribute(tag, "type").as_deref() == Some("hidden") {
                    form.fields.push((name, value));
                } else {
                    form.inputs.push(name);
                }
            }
        }
        form
    }

    fn form_with(&self, what: &str, fits: impl Fn(&Form) -> bool) -> Form {
        let found = self.forms().into_iter().find(fits);
        found.unwrap_or_else(|| panic!("no form {what} on {} ({}):\n{}", self.url, self.status, self.body))
    }

    pub fn asks_for_password(&self) -> bool {
        self.forms().iter().any(|form| form.inputs == ["username", "password"])
    }

    pub fn sign_in_form(&self, username: &str, password: &str) -> Form {
        let form = self.form_with("for signing in", |form| form.inputs == ["username", "password"]);
        form.fill("username", username).fill("password", password)
    }

    /// Whether there is a button with this `decision`.
    pub fn offers(&self, decision: &str) -> bool {
        self.forms().iter().any(|form| form.buttons.contains(&("decision".to_owned(), decision.to_owned())))
    }

    pub fn decision(&self, decision: &str) -> Form {
        self.with_button("decision", decision)
    }

    /// The form with this button, pressed.
    pub fn with_button(&self, name: &str, value: &str) -> Form {
        let button = (name.to_owned(), value.to_owned());
        self.form_with(&format!("with {name}={value}"), |form| form.buttons.contains(&button)).press(name, value)
    }

    /// The form whose action ends so.
    pub fn form_to(&self, action: &str) -> Form {
        self.form_with(&format!("to {action}"), |form| form.action.path().ends_with(action))
    }

    /// What stands on the button with this id for its script: `data-csrf` and so on, without the `data-`.
    pub fn data(&self, id: &str) -> Option<Vec<(String, String)>> {
        let tag = self.body.split('<').find(|tag| attribute(tag, "id").as_deref() == Some(id))?;
        let tag = tag.split('>').next()?;
        let names = tag.split(" data-").skip(1).filter_map(|rest| rest.split_once('=')).map(|(name, _)| name);
        names.map(|name| Some((name.to_owned(), attribute(tag, &format!("data-{name}"))?))).collect()
    }

    /// The text of the only `h1`.
    pub fn heading(&self) -> String {
        let headings: Vec<&str> = self.body.split("<h1").skip(1).collect();
        assert_eq!(headings.len(), 1, "every page has one h1: {}\n{}", self.url, self.body);
        let html = headings[0].split_once('>').map_or("", |(_, rest)| rest.split("</h1>").next().unwrap_or_default());
        let mut text = String::new();
        let mut inside = false;
        for c in html.chars() {
            match c {
                '<' => inside = true,
                '>' => inside = false,
                other if !inside => text.push(other),
                _ => {}
            }
        }
        unescape(text.trim())
    }

    /// A page of the server that says what is wrong, and leads nowhere.
    #[track_caller]
    pub fn is_error_page(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}\n{}", self.url, self.body);
        assert!(self.headers.get("location").is_none(), "an error page redirects: {:?}", self.headers);
        assert!(self.header("content-type").starts_with("text/html"), "{:?}", self.headers);
        assert!(!self.asks_for_password(), "not an error page:\n{}", self.body);
        assert!(!self.heading().is_empty());
        self
    }
}

/// The code in the form of a `form_post` answer.
#[track_caller]
pub fn hidden_code(page: &Page) -> String {
    let forms = page.forms();
    let code = forms.first().and_then(|form| form.field("code"));
    code.unwrap_or_else(|| panic!("no code on {} ({}):\n{}", page.url, page.status, page.body)).to_owned()
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let value = tag.match_indices(name).find_map(|(at, _)| {
        let begins = tag[..at].ends_with(char::is_whitespace);
        tag[at + name.len()..].strip_prefix("=\"").filter(|_| begins)
    })?;
    Some(unescape(value.split('"').next()?))
}

pub fn unescape(text: &str) -> String {
    ["&quot;\"", "&#34;\"", "&#39;'", "&#x27;'", "&#x2f;/", "&lt;<", "&gt;>", "&amp;&"].iter().fold(
        text.to_owned(),
        |text, pair| {
            let (entity, character) = pair.split_at(pair.len() - 1);
            text.replace(entity, character)
        },
    )
}
