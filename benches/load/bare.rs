//! What the service is compared with: a bare handler of the same framework that answers the same bytes.

use std::path::Path;

use actix_web::{App, HttpResponse, HttpServer, web};

/// Serves the bytes in the folder until the process is ended. Prints its address first.
pub fn serve(folder: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the bare handler: {error}");
    let read = |name: &str| std::fs::read(folder.join(name)).map(web::Bytes::from).map_err(failed);
    let (one, list) = (read("read")?, read("list")?);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    println!("http://{}/", listener.local_addr().map_err(failed)?);
    let server = HttpServer::new(move || {
        let (one, list, created) = (one.clone(), list.clone(), one.clone());
        App::new()
            .route("/read", web::get().to(move || std::future::ready(answer(200, one.clone()))))
            .route("/list", web::get().to(move || std::future::ready(answer(200, list.clone()))))
            .route("/write", web::post().to(move |_: web::Bytes| std::future::ready(answer(201, created.clone()))))
    });
    let server = server.listen(listener).map_err(failed)?.run();
    actix_web::rt::System::new().block_on(server).map_err(failed)
}

fn answer(status: u16, bytes: web::Bytes) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(status).unwrap_or_default();
    HttpResponse::build(status).content_type("application/json").body(bytes)
}
