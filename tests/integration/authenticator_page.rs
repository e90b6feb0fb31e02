//! The page on which an authenticator app is added: what is scanned is what is typed, and it stays on the page.

use crate::support::{ALICE, PASSWORD, Server, authenticator::App, page::unescape};

/// The text between two others.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after} after {before}")).0
}

/// The modules of the QR code on a page, the quiet zone included, as they are drawn.
fn drawn(body: &str) -> Vec<Vec<bool>> {
    let svg = between(body, "<svg class=\"qr\"", "</svg>");
    let side: usize = between(svg, "viewBox=\"0 0 ", " ").parse().unwrap();
    // Dark on white, whatever the colours of the page.
    assert!(svg.contains(&format!("<path fill=\"#fff\" d=\"M0 0h{side}v{side}H0z\"/>")), "{svg}");
    let mut dark = vec![vec![false; side]; side];
    for run in between(svg, "<path fill=\"#000\" d=\"", "\"").split_terminator('z') {
        let numbers: Vec<usize> =
            run.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        let [x, y, length, 1, _] = numbers[..] else { panic!("{run}") };
        dark[y][x..x + length].fill(true);
    }
    dark
}

#[tokio::test]
async fn what_is_scanned_is_what_is_typed() {
    let server = Server::usual().await;
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    agent.sign_in(&page, ALICE, PASSWORD).await;
    let page = agent.open(&server.at("/account/authenticator")).await;
    let link = unescape(between(&page.body, "<a href=\"otpauth:", "\""));
    let code = qrcodegen::QrCode::encode_text(&format!("otpauth:{link}"), qrcodegen::QrCodeEcc::Medium).unwrap();
    let dark = drawn(&page.body);
    assert_eq!(i32::try_from(dark.len()).unwrap(), code.size() + 8, "four modules of white on each side");
    for (y, row) in (-4..).zip(&dark) {
        for (x, is_dark) in (-4..).zip(row) {
            assert_eq!(*is_dark, code.get_module(x, y), "{x} {y}");
        }
    }
    // Beside it, for whoever cannot scan.
    let key = between(&page.body, "<p class=\"key\"><code>", "</code>");
    assert_eq!((key.split(' ').count(), key.split(' ').all(|group| group.len() == 4)), (8, true), "{key}");
    assert!(link.contains(&key.replace(' ', "")), "{link}");
    // The code is asked for last: the focus there would scroll the picture out of a phone's view.
    assert!(!page.body.contains("autofocus"), "{}", page.body);
    assert!(page.body.contains("role=\"img\" aria-label=\"QR code of the key below\""), "{}", page.body);

    // Nothing keeps it: not the browser, not an address, and it needs no hole in the policy.
    assert_eq!(page.header("cache-control"), "no-store");
    let policy = page.header("content-security-policy");
    assert!(policy.contains("style-src 'self';") && policy.contains("script-src 'none'"), "{policy}");
    assert_eq!(page.url.query(), None);
    let key = key.replace(' ', "");
    let sources = page.body.matches(&key).count();
    assert_eq!(sources, 1, "in the link for an app on this device, and in no other address: {}", page.body);

    // A code that does not fit shows the same key again.
    let app = App::scan(&page);
    let form = page.form_to("/account/authenticator/add").fill("code", &app.wrong_code(&server));
    let again = agent.submit(&form).await;
    assert_eq!((again.status, drawn(&again.body) == dark), (400, true), "{}", again.body);
    assert!(again.body.contains("autofocus"), "{}", again.body);
    let stored = server.rows("SELECT a::text FROM audit_events a").await;
    assert!(stored.iter().flatten().flatten().all(|event| !event.contains(&key)));
}
