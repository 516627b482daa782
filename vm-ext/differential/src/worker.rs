//! Answers requests, one a line of standard input: digests in one line for each set of kernels, or the numbers of a case;
//! then an empty line. What the harness asks machines of other kinds, here run by an emulator or another computer.

use std::io::{self, BufRead, Write};

use aiinference_differential::{answer, Request, RequestError};

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let request = Request::parse(&line?).ok_or(RequestError::Malformed);
        match request.and_then(|request| answer(&request)) {
            Ok(text) => writeln!(out, "{text}")?,
            Err(problem) => writeln!(out, "error {problem}\n")?,
        }
        out.flush()?;
    }
    Ok(())
}
