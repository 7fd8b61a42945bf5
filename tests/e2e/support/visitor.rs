//! A browser without a screen: it keeps cookies, follows links and fills forms in.

use std::collections::BTreeMap;

use super::rawc::{Client, Response};

/// A browser: cookies for each server, and links that are followed.
#[derive(Debug, Clone, Default)]
pub struct Visitor {
    cookies: BTreeMap<(String, String), String>,
    /// Where it is.
    pub place: String,
}

impl Visitor {
    /// Goes to an address, without following where that leads.
    pub fn go(&mut self, url: &str) -> Response {
        self.send("GET", url, None)
    }

    /// Sends a form.
    pub fn submit(&mut self, url: &str, form: &str) -> Response {
        self.send("POST", url, Some(form))
    }

    /// Follows redirects to the first page that is none, or to `end`, which is not asked for.
    pub fn follow(&mut self, mut answer: Response, end: &str) -> Response {
        for _ in 0..10 {
            let Some(location) = answer.header("location").map(str::to_owned) else { return answer };
            let next = self.absolute(&location);
            if !end.is_empty() && next.starts_with(end) {
                self.place = next;
                return answer;
            }
            answer = self.go(&next);
        }
        panic!("too many redirects, the last to {}", self.place)
    }

    /// Signs in and consents on the provider's pages, from its first page on; `end` is where it then sends the browser.
    pub fn sign_in(&mut self, page: &Response, name: &str, end: &str) -> Response {
        assert!(page.text().contains("Enter any login"), "{}: {}", self.place, page.text());
        let here = self.place.clone();
        let answer = self.submit(&here, &format!("prompt=login&login={name}&password=x"));
        let consent = self.follow(answer, end);
        if self.place.starts_with(end) {
            return consent;
        }
        assert!(consent.text().contains("Authorize"), "{}: {}", self.place, consent.text());
        let here = self.place.clone();
        let answer = self.submit(&here, "prompt=consent");
        self.follow(answer, end)
    }

    pub fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.cookies.get(&(host.to_owned(), name.to_owned())).map(String::as_str)
    }

    fn absolute(&self, location: &str) -> String {
        if location.starts_with("http://") {
            return location.to_owned();
        }
        let (host, _) = parts(&self.place);
        format!("http://{host}{location}")
    }

    fn send(&mut self, method: &str, url: &str, form: Option<&str>) -> Response {
        let (host, target) = parts(url);
        let mine = self.cookies.iter().filter(|((owner, _), _)| *owner == host);
        let cookies: Vec<String> = mine.map(|((_, name), value)| format!("{name}={value}")).collect();
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n"
        );
        if !cookies.is_empty() {
            head.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
        }
        if let Some(form) = form {
            head.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            head.push_str(&format!("Content-Length: {}\r\n\r\n{form}", form.len()));
        } else {
            head.push_str("\r\n");
        }
        let mut client = Client::connect(host.parse().expect("an address"));
        client.send(head);
        let answer = client.receive_to(method);
        for (_, value) in answer.fields.0.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
            let (pair, attributes) = value.split_once(';').unwrap_or((value, ""));
            let (name, value) = pair.split_once('=').expect("a cookie");
            let key = (host.clone(), name.trim().to_owned());
            let ends = value.is_empty() || attributes.to_ascii_lowercase().contains("max-age=0");
            if ends {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        url.clone_into(&mut self.place);
        answer
    }
}

/// Host and target of an address.
fn parts(url: &str) -> (String, String) {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("{url}"));
    let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    (host.to_owned(), if path.is_empty() { "/".to_owned() } else { path.to_owned() })
}
