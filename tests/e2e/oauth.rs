//! Logins with tokens, as Entra ID issues them, over the broker's listener for OAUTHBEARER.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::secure::{Files, config, run, send_a_match};
use crate::support::{Instance, World};

#[test]
fn oauthbearer_with_unsigned_tokens_gives_the_result() {
    let (Some(files), Some(mut world)) = (Files::find(), World::new("oauth")) else {
        return;
    };
    send_a_match(&mut world, "with a token");
    let kafka = format!(
        "bootstrap_servers = \"{}\"\n[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"ssl.ca.location\" = \"{}\"\n\
         \"sasl.mechanism\" = \"OAUTHBEARER\"\n\"enable.sasl.oauthbearer.unsecure.jwt\" = true\n\
         \"sasl.oauthbearer.config\" = \"principal=alerttrail\"",
        files.address("address-oauth"),
        files.ca().display()
    );
    let config = config(&world, "a", &kafka, "listen = \"\"");
    let mut instance = Instance::start_with(&config, &world.folder.path().join("a.log"), &[]);
    assert_eq!(world.wait_for_expected_rows(&mut [&mut instance]).len(), 1);
    assert!(instance.log().contains("proves nothing"), "{}", instance.log());
}

/// Starts a server that acts as Entra ID does for an Event Hubs client: it gives a token to a client that sends the id
/// and the secret.
fn token_server(secret: &str, requests: &Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let (secret, requests) = (secret.to_owned(), Arc::clone(requests));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(length @ 1..) = client.read(&mut buffer) {
                request.extend_from_slice(&buffer[..length]);
            }
            let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
            let claims = format!("{{\"sub\":\"alerttrail\",\"iat\":{now},\"exp\":{}}}", now + 3_600);
            let token = format!("{}.{}.", base64("{\"alg\":\"none\"}"), base64(&claims));
            let request = String::from_utf8_lossy(&request).into_owned();
            // Name and secret are sent as basic authentication.
            let (status, body) = match request.contains(&base64_padded(&format!("client-7:{secret}"))) {
                true => (
                    "200 OK",
                    format!("{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":3600}}"),
                ),
                false => ("401 Unauthorized", "{\"error\":\"invalid_client\"}".to_owned()),
            };
            requests.lock().unwrap().push(request);
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            );
            drop(write!(client, "{head}Connection: close\r\n\r\n{body}"));
        }
    });
    url
}

/// Returns Base64 for URLs, without padding.
fn base64(text: &str) -> String {
    base64_padded(text).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn base64_padded(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let mut bytes = [0; 4];
        bytes[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(bytes);
        for digit in 0..4 {
            let index = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit <= chunk.len() {
                char::from(DIGITS[index as usize])
            } else {
                '='
            });
        }
    }
    out
}

#[test]
fn oauthbearer_with_a_token_server_gives_the_result_and_a_wrong_secret_is_refused() {
    let (Some(files), Some(mut world)) = (Files::find(), World::new("oidc")) else {
        return;
    };
    const SECRET: &str = "S3CR3T-client";
    send_a_match(&mut world, "with a token");
    let requests = Arc::default();
    let url = token_server(SECRET, &requests);
    let kafka = format!(
        "bootstrap_servers = \"{}\"\n[kafka.properties]\ndebug = \"security\"\n\"security.protocol\" = \"SASL_SSL\"\n\
         \"ssl.ca.location\" = \"{}\"\n\"sasl.mechanism\" = \"OAUTHBEARER\"\n\"sasl.oauthbearer.method\" = \"oidc\"\n\
         \"sasl.oauthbearer.token.endpoint.url\" = \"{url}\"\n\"sasl.oauthbearer.client.id\" = \"client-7\"\n\
         \"sasl.oauthbearer.client.secret\" = \"${{CLIENT_SECRET}}\"\n\"sasl.oauthbearer.scope\" = \"https://x/.default\"",
        files.address("address-oauth"),
        files.ca().display()
    );
    let right = config(&world, "a", &kafka, "listen = \"\"");
    let log = world.folder.path().join("a.log");
    let mut instance = Instance::start_with(&right, &log, &[("CLIENT_SECRET", SECRET), ("ALERTTRAIL_LOG", "debug")]);
    assert_eq!(world.wait_for_expected_rows(&mut [&mut instance]).len(), 1);
    assert!(!requests.lock().unwrap().is_empty());
    let log = instance.log();
    assert!(!log.contains(SECRET) && !log.contains(&base64_padded(&format!("client-7:{SECRET}"))));
    assert!(!log.contains(&base64("{\"alg\":\"none\"}")), "a token is in the log");
    instance.kill();

    let (output, printed, took) = run(&right, &[("CLIENT_SECRET", "S3CR3T-wrong")]);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert!(
        printed.contains("refuses the login") || printed.contains("token"),
        "{printed}"
    );
    assert!(!printed.contains("S3CR3T"), "{printed}");
}
