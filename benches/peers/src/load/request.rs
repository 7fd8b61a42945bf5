//! The request that everybody gets: GET, eight header fields, one key of many.

/// A request with room for a key.
pub struct Template {
    before: Vec<u8>,
    after: Vec<u8>,
    keys: Vec<String>,
}

impl Template {
    pub fn new(path: &str, keys: Vec<String>) -> Self {
        let before = format!(
            "GET {path} HTTP/1.1\r\n\
             Host: gateway.example\r\n\
             User-Agent: ci-runner/2.4 (linux; x86_64)\r\n\
             Accept: application/json\r\n\
             Accept-Encoding: gzip, deflate\r\n\
             X-Api-Key: "
        );
        let after = "\r\nX-Correlation-Id: 7f0c2f5e-9a1b-4c8e-b0d1-2a3b4c5d6e7f\r\n\
             Cookie: lang=en; theme=dark\r\n\
             Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
        Self { before: before.into_bytes(), after: after.as_bytes().to_vec(), keys }
    }
}

/// Which key is next, of one thread: first each of its share once, then any.
pub struct Choice {
    first: usize,
    step: usize,
    keys: usize,
    random: u64,
    request: Vec<u8>,
}

impl Choice {
    pub fn new(template: &Template, thread: usize, threads: usize) -> Self {
        let random = 0x9E37_79B9_7F4A_7C15 ^ ((thread as u64 + 1) << 32);
        Self { first: thread, step: threads, keys: template.keys.len(), random, request: Vec::new() }
    }

    /// How many keys are this thread's to ask for first.
    pub fn share(&self) -> usize {
        let thread = self.first % self.step;
        (self.keys + self.step - 1 - thread) / self.step
    }

    pub fn asked_all(&self) -> bool {
        self.first >= self.keys
    }

    /// The whole request.
    pub fn next(&mut self, template: &Template) -> &[u8] {
        let at = if self.asked_all() {
            self.draw() as usize % self.keys
        } else {
            self.first += self.step;
            self.first - self.step
        };
        self.request.clear();
        for part in [&template.before, template.keys[at].as_bytes(), &template.after] {
            self.request.extend_from_slice(part);
        }
        &self.request
    }

    /// Marsaglia's xorshift: quick, and the same keys in each round.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_asked_for_once_before_any_is_asked_for_again() {
        let template = Template::new("/", (0..7).map(|at| format!("<{at}>")).collect());
        let mut asked: Vec<Vec<u8>> = Vec::new();
        for thread in 0..2 {
            let mut choice = Choice::new(&template, thread, 2);
            let share = choice.share();
            while !choice.asked_all() {
                asked.push(choice.next(&template).to_vec());
            }
            assert_eq!(share, if thread == 0 { 4 } else { 3 });
        }
        asked.sort();
        asked.dedup();
        assert_eq!(asked.len(), 7);
    }
}
