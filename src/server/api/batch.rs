//! Many calls in one request: `batch`, and the lines of `POST /api`.

use std::collections::HashMap;
use std::future::Future;

use serde::Deserialize;
use serde_json::value::RawValue;
use shardcast::protocol::centrifuge::Error;
use shardcast::protocol::json::{self, Object};
use tokio::task::JoinSet;

use super::super::front_door::Door;
use super::call::{Failure, Method, Outcome, bad, error_json, perform, perform_one};

/// Calls of one request that are on their way at a time.
const SIDE_BY_SIDE_MAX: usize = 64;

#[derive(Deserialize)]
pub(super) struct Batch<'p> {
    #[serde(borrow)]
    commands: Option<Vec<HashMap<String, &'p RawValue>>>,
    parallel: Option<bool>,
}

/// One command of a batch: its method, as it was named, and its parameters.
type Command = Result<(String, Method, Box<RawValue>), Error>;

pub(super) async fn batch(door: &Door, params: Batch<'_>) -> Outcome {
    let commands = params.commands.unwrap_or_default();
    let (actual, limit) = (commands.len(), door.config.api.commands_max);
    if actual > limit {
        return Err(bad(format!("{actual} commands, api.commands_max is {limit}")));
    }
    let commands = commands.into_iter().map(command);
    let replies = if params.parallel.unwrap_or_default() {
        side_by_side(commands, |command| {
            let door = door.clone();
            async move { reply(&door, command).await }
        })
        .await?
    } else {
        let mut replies = Vec::with_capacity(actual);
        for command in commands {
            replies.push(reply(door, command).await);
        }
        replies
    };
    Ok(super::wrapped("replies", &array(&replies)))
}

fn command(fields: HashMap<String, &RawValue>) -> Command {
    if fields.len() != 1 {
        return Err(Error::BAD_REQUEST.because(format!("a command has one method, this one has {}", fields.len())));
    }
    let (name, params) = fields.into_iter().next().expect("there is one");
    let method = Method::find(&name).map_err(|failure| failure.to_error())?;
    Ok((name, method, params.to_owned()))
}

/// A reply of a batch: by its method, not wrapped in `result`.
async fn reply(door: &Door, command: Command) -> Vec<u8> {
    let outcome = match command {
        Ok((name, method, params)) => {
            let outcome = perform_one(door, method, params.get()).await;
            outcome.map(|result| super::wrapped(&name, &result)).map_err(|failure| failure.to_error())
        }
        Err(error) => Err(error),
    };
    outcome.unwrap_or_else(|error| super::wrapped("error", &error_json(&error)))
}

#[derive(Deserialize)]
struct Line<'l> {
    id: Option<u64>,
    method: Option<String>,
    #[serde(borrow)]
    params: Option<&'l RawValue>,
}

/// The commands of a body one after the other; a line of reply for each.
pub(super) async fn lines(door: &Door, body: &str) -> Outcome {
    let limit = door.config.api.commands_max;
    let mut commands = Vec::new();
    for line in serde_json::Deserializer::from_str(body).into_iter::<Line<'_>>() {
        commands.push(line.map_err(Failure::Malformed)?);
        if commands.len() > limit {
            return Err(bad(format!("more commands than api.commands_max, which is {limit}")));
        }
    }
    if commands.is_empty() {
        return Err(bad("no command"));
    }
    let mut replies = Vec::new();
    for (index, Line { id, method, params }) in commands.into_iter().enumerate() {
        let params = params.map_or("{}", RawValue::get);
        let outcome = perform(door, method.as_deref().unwrap_or_default(), params).await;
        if index > 0 {
            replies.push(b'\n');
        }
        let mut reply = Object::open(&mut replies);
        reply.number("id", id.unwrap_or_default());
        match outcome {
            Ok(result) => reply.key("result").extend_from_slice(&result),
            Err(failure) => reply.key("error").extend_from_slice(&error_json(&failure.to_error())),
        }
        reply.close();
    }
    Ok(replies)
}

/// Does `work` for all, some at a time; the results in the order of the items.
pub(super) async fn side_by_side<I, F>(
    items: impl IntoIterator<Item = I>,
    work: impl Fn(I) -> F,
) -> Result<Vec<Vec<u8>>, Failure>
where
    F: Future<Output = Vec<u8>> + Send + 'static,
{
    let mut results = Vec::new();
    let mut running = JoinSet::new();
    let mut items = items.into_iter();
    loop {
        while running.len() < SIDE_BY_SIDE_MAX
            && let Some(item) = items.next()
        {
            let (index, work) = (results.len(), work(item));
            results.push(Vec::new());
            running.spawn(async move { (index, work.await) });
        }
        let Some(ended) = running.join_next().await else { return Ok(results) };
        // An error: the runtime is ending.
        let (index, result) = ended.map_err(|_| Failure::Error(Error::INTERNAL))?;
        results[index] = result;
    }
}

/// A JSON array of values that are JSON.
pub(super) fn array(values: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::one_line(&mut out, value);
    }
    out.push(b']');
    out
}
