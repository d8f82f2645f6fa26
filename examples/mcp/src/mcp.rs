//! The Model Context Protocol over HTTP, as far as one tool needs it: a request is answered with JSON, and nothing is
//! kept in between. The crate `rmcp` has the rest of the protocol.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};
use sigra::Bearer;

use crate::{ReadProjects, User};

/// The newest version that this server knows.
const VERSION: &str = "2025-06-18";

#[derive(Deserialize)]
pub struct Message {
    /// A notification has none.
    id: Option<Value>,
    method: String,
    #[serde(default)]
    params: Value,
}

/// Without a token that allows this, the client gets a 401 that says where to log in.
pub async fn serve(bearer: Bearer<User, ReadProjects>, Json(message): Json<Message>) -> Response {
    let Some(id) = message.id else { return StatusCode::ACCEPTED.into_response() };
    let answer = match message.method.as_str() {
        "initialize" => Ok(json!({
            "protocolVersion": VERSION,
            "capabilities": { "tools": {} },
            "serverInfo": { "name": "example-mcp", "version": env!("CARGO_PKG_VERSION") },
        })),
        "ping" => Ok(json!({})),
        "tools/list" => Ok(json!({ "tools": [{
            "name": "list_projects",
            "description": "Lists the projects of the user",
            "inputSchema": { "type": "object", "properties": {} },
        }] })),
        "tools/call" if message.params["name"] == "list_projects" => Ok(list_projects(bearer.user())),
        "tools/call" => Err(json!({ "code": -32602, "message": "there is no such tool" })),
        _ => Err(json!({ "code": -32601, "message": "there is no such method" })),
    };
    let answer = match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error }),
    };
    Json(answer).into_response()
}

fn list_projects(user: &User) -> Value {
    json!({ "content": [{ "type": "text", "text": format!("The projects of {}: Difference Engine", user.email) }] })
}
