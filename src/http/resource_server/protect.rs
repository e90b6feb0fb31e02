//! A middleware for routes that ask something of every request: what does not bring it never reaches a handler.

use std::{
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{
    Error, FromRequest, HttpMessage, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform},
};
use futures_util::future::{FutureExt, LocalBoxFuture};

use super::{AccessToken, Requirement};

/// Lets through what meets the requirement. A handler that takes an [`AccessToken`] gets the one that was looked at here,
/// and nobody is asked about it twice.
#[derive(Clone, Copy, Debug)]
pub struct Protect(pub Requirement);

/// [`Protect`] around a service.
pub struct Protected<S> {
    service: Rc<S>,
    requirement: Requirement,
}

impl<S, B> Transform<S, ServiceRequest> for Protect
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = Protected<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Protected { service: Rc::new(service), requirement: self.0 }))
    }
}

impl<S, B> Service<ServiceRequest> for Protected<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.service.poll_ready(context)
    }

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let (service, requirement) = (self.service.clone(), self.requirement);
        async move {
            let (http, payload) = request.parts_mut();
            let token = AccessToken::from_request(http, payload).await;
            match token.and_then(|token| requirement.check(&token).map(|()| token)) {
                Ok(token) => {
                    request.extensions_mut().insert(token);
                    Ok(service.call(request).await?.map_into_left_body())
                }
                // An answer and not an error, so that middlewares further out see it like any other.
                Err(refusal) => Ok(request.into_response(refusal.error_response()).map_into_right_body()),
            }
        }
        .boxed_local()
    }
}
