//! A relying party that a real browser can go back to: a page on a loopback port, which a registered loopback redirect URI
//! may have (RFC 8252 §7.3).

use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{
    Client, Server,
    client::{Code, Request},
};

/// Its page says that one has arrived.
pub struct RelyingParty<'s> {
    listener: MockServer,
    /// Where it goes on to, if that is not itself.
    _onward: Option<MockServer>,
    pub client: Client<'s>,
}

impl<'s> RelyingParty<'s> {
    pub async fn start(server: &'s Server, id: &str) -> Self {
        Self::with(server, id, page().await, None)
    }

    /// Its callback goes on to a page of another origin, as that of a broker or of an API's host does.
    pub async fn start_going_on(server: &'s Server, id: &str) -> Self {
        let onward = page().await;
        let listener = going_on_to(&onward).await;
        Self::with(server, id, listener, Some(onward))
    }

    fn with(server: &'s Server, id: &str, listener: MockServer, onward: Option<MockServer>) -> Self {
        let mut client = server.client(id);
        client.redirect_uri = format!("http://127.0.0.1:{}/callback", listener.address().port());
        Self { listener, _onward: onward, client }
    }

    /// The parameters of the last answer, from its address or its body.
    pub async fn answer(&self) -> Vec<(String, String)> {
        let requests = self.listener.received_requests().await.expect("recorded");
        let callback = requests.iter().rev().find(|request| request.url.path() == "/callback").expect("a callback");
        let query = callback.url.query().unwrap_or_default().as_bytes();
        let encoded = if callback.method.as_str() == "POST" { &callback.body } else { query };
        url::form_urlencoded::parse(encoded).into_owned().collect()
    }

    /// The `Origin` that the last answer came with.
    pub async fn origin(&self) -> Option<String> {
        let requests = self.listener.received_requests().await.expect("recorded");
        let callback = requests.iter().rev().find(|request| request.url.path() == "/callback").expect("a callback");
        callback.headers.get("origin").map(|origin| origin.to_str().expect("ASCII").to_owned())
    }

    /// The error of the last answer.
    pub async fn error(&self) -> String {
        let answer = self.answer().await;
        let error = answer.iter().find(|(name, _)| name == "error");
        error.unwrap_or_else(|| panic!("no error: {answer:?}")).1.clone()
    }

    pub async fn callbacks(&self) -> usize {
        let requests = self.listener.received_requests().await.expect("recorded");
        requests.iter().filter(|request| request.url.path() == "/callback").count()
    }

    /// The code that came with the last answer.
    pub async fn code(&self, request: Request) -> Code {
        let answer = self.answer().await;
        let code = answer.iter().find(|(name, _)| name == "code").unwrap_or_else(|| panic!("no code: {answer:?}"));
        Code { code: code.1.clone(), verifier: request.verifier }
    }
}

/// A listener whose every page says that one has arrived.
pub async fn page() -> MockServer {
    let listener = MockServer::start().await;
    let page = ResponseTemplate::new(200).set_body_raw("<title>Arrived</title><h1>Arrived</h1>", "text/html");
    Mock::given(any()).respond_with(page).mount(&listener).await;
    listener
}

/// A listener that sends everybody on to another one, which has another origin.
pub async fn going_on_to(onward: &MockServer) -> MockServer {
    let listener = MockServer::start().await;
    let home = format!("{}/home", onward.uri());
    let answer = ResponseTemplate::new(303).insert_header("location", home.as_str());
    Mock::given(any()).respond_with(answer).mount(&listener).await;
    listener
}
