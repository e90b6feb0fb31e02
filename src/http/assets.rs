//! The style sheet, the scripts and the icon: what pages load from this server.
//!
//! Embedded, or replaced by a file of the same name in the folder `assets` of the operator's templates, which may hold
//! further files for templates to use. An address carries the hash of the content, so browsers may keep it for ever;
//! asked for with any other hash (another replica may be a version ahead) the answer is not to be kept.

use std::{collections::HashMap, fs, path::Path};

use actix_web::{HttpRequest, HttpResponse, http::header, web};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::failure::Stop;

const EMBEDDED: [(&str, &str); 8] = [
    ("mooring.css", include_str!("../../templates/assets/mooring.css")),
    ("form_post.js", include_str!("../../templates/assets/form_post.js")),
    ("signing_out.js", include_str!("../../templates/assets/signing_out.js")),
    ("passkeys.js", include_str!("../../templates/assets/passkeys.js")),
    ("waiting.js", include_str!("../../templates/assets/waiting.js")),
    ("password.js", include_str!("../../templates/assets/password.js")),
    ("codes.js", include_str!("../../templates/assets/codes.js")),
    ("favicon.svg", include_str!("../../templates/assets/favicon.svg")),
];

/// All files that pages may load, by name.
pub struct Assets {
    files: HashMap<String, Asset>,
}

struct Asset {
    content: web::Bytes,
    media_type: &'static str,
    version: String,
}

impl Assets {
    /// The embedded files, and those of `folder` where it is given and exists.
    pub fn new(folder: Option<&Path>) -> Result<Self, Stop> {
        let mut assets = Self { files: HashMap::new() };
        for (name, content) in EMBEDDED {
            assets.add(name.to_owned(), content.as_bytes().to_vec())?;
        }
        if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
            let unreadable = |error: std::io::Error| Stop::new(format!("cannot read {}: {error}", folder.display()));
            for entry in fs::read_dir(folder).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                if entry.path().is_file() {
                    let content = fs::read(entry.path()).map_err(unreadable)?;
                    assets.add(entry.file_name().to_string_lossy().into_owned(), content)?;
                }
            }
        }
        Ok(assets)
    }

    fn add(&mut self, name: String, content: Vec<u8>) -> Result<(), Stop> {
        let Some(media_type) = media_type(&name) else {
            return Err(Stop::new(format!("assets/{name} of the templates folder is of no kind that pages load"))
                .mend("use css, js, svg, png, jpg, webp, ico or woff2, or remove the file"));
        };
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
        let version = URL_SAFE_NO_PAD.encode(&digest.as_ref()[..9]);
        self.files.insert(name, Asset { content: content.into(), media_type, version });
        Ok(())
    }

    /// The address of a file under `base`, the path of the issuer.
    pub fn address(&self, base: &str, name: &str) -> Option<String> {
        self.files.get(name).map(|asset| format!("{base}/assets/{name}?v={}", asset.version))
    }

    fn answer(&self, name: &str, query: &str) -> HttpResponse {
        let Some(asset) = self.files.get(name) else { return HttpResponse::NotFound().finish() };
        let current = query.strip_prefix("v=").is_some_and(|version| version == asset.version);
        HttpResponse::Ok()
            .content_type(asset.media_type)
            .insert_header((
                header::CACHE_CONTROL,
                if current { "public, max-age=31536000, immutable" } else { "no-cache" },
            ))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header(("cross-origin-resource-policy", "same-origin"))
            // For whoever opens a picture by itself: an SVG is a document and could hold a script.
            .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; sandbox"))
            .body(asset.content.clone())
    }
}

/// `GET /assets/{name}`. The application holds the set as `web::Data` ([`Templates::assets`] hands it out).
///
/// [`Templates::assets`]: crate::http::render::Templates::assets
#[allow(clippy::unused_async, reason = "actix-web handlers are async")]
pub async fn asset(request: HttpRequest, name: web::Path<String>, assets: web::Data<Assets>) -> HttpResponse {
    assets.answer(&name, request.query_string())
}

fn media_type(name: &str) -> Option<&'static str> {
    Some(match Path::new(name).extension()?.to_str()? {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        http::StatusCode,
        test::{TestRequest, call_service, init_service},
    };

    use super::*;

    async fn get(path: &str) -> (StatusCode, String, String) {
        let assets = web::Data::new(Assets::new(None).unwrap());
        let app = init_service(App::new().app_data(assets).route("/assets/{name}", web::get().to(asset))).await;
        let answer = call_service(&app, TestRequest::get().uri(path).to_request()).await;
        let header = |name: header::HeaderName| {
            answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        (answer.status(), header(header::CACHE_CONTROL), header(header::CONTENT_TYPE))
    }

    #[actix_web::test]
    async fn an_address_with_the_right_hash_is_kept_for_ever() {
        let address = Assets::new(None).unwrap().address("", "mooring.css").unwrap();
        let (status, cache, media_type) = get(&address).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(cache, "public, max-age=31536000, immutable");
        assert_eq!(media_type, "text/css; charset=utf-8");
        for path in ["/assets/mooring.css", "/assets/mooring.css?v=other"] {
            assert_eq!(get(path).await.1, "no-cache");
        }
        for path in ["/assets/nothing.css", "/assets/..%2fbase.html"] {
            assert_eq!(get(path).await.0, StatusCode::NOT_FOUND);
        }
    }

    #[test]
    fn the_style_sheet_stays_small() {
        let sheet = EMBEDDED[0].1;
        assert!(sheet.len() < 14 * 1024, "{} bytes", sheet.len());
    }
}
