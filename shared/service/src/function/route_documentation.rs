//! What a route says of itself for the OpenAPI document. In a module these methods do nothing, so neither the
//! texts nor the schemas are in it.

use schemars::JsonSchema;

use super::route::Route;

const JSON: &str = "application/json";

#[cfg(not(target_family = "wasm"))]
macro_rules! document {
    ($route:expr, $set:ident $(::<$type:ty>)? ($($argument:expr),*)) => {
        change($route, |documentation| {
            super::documentation::$set $(::<$type>)? (documentation, $($argument),*)
        })
    };
}

#[cfg(target_family = "wasm")]
macro_rules! document {
    ($route:expr, $set:ident $(::<$type:ty>)? ($($argument:expr),*)) => {{
        $(let _ = $argument;)*
        $route
    }};
}

#[cfg(not(target_family = "wasm"))]
fn change(mut route: Route, change: impl FnOnce(&mut super::documentation::Documentation)) -> Route {
    change(&mut route.declaration.documentation);
    route
}

impl Route {
    /// One line for people.
    #[must_use]
    pub fn summary(self, text: &'static str) -> Self {
        document!(self, set_summary(text))
    }

    /// What the one line does not say.
    #[must_use]
    pub fn description(self, text: &'static str) -> Self {
        document!(self, set_description(text))
    }

    /// The JSON body it takes.
    #[must_use]
    pub fn takes<T: JsonSchema>(self) -> Self {
        document!(self, set_request::<T>(JSON))
    }

    /// The body it takes, of another media type.
    #[must_use]
    pub fn takes_as<T: JsonSchema>(self, media_type: &'static str) -> Self {
        document!(self, set_request::<T>(media_type))
    }

    /// The query parameters it takes: the properties of this struct.
    #[must_use]
    pub fn takes_query<T: JsonSchema>(self) -> Self {
        document!(self, set_query::<T>())
    }

    /// An answer without a body.
    #[must_use]
    pub fn answers(self, status: u16, description: &'static str) -> Self {
        document!(self, add_answer(status, description))
    }

    /// The JSON body it gives.
    #[must_use]
    pub fn gives<T: JsonSchema>(self, status: u16, description: &'static str) -> Self {
        document!(self, add_answer_with::<T>(status, JSON, description))
    }

    /// The body it gives, of another media type.
    #[must_use]
    pub fn gives_as<T: JsonSchema>(
        self,
        status: u16,
        media_type: &'static str,
        description: &'static str,
    ) -> Self {
        document!(self, add_answer_with::<T>(status, media_type, description))
    }
}
