//! Makes the parts of a [`Plan`](super::Plan) one after the other.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::Method;
use serde::de::DeserializeOwned;
use tokio_rustls::rustls::ServerConfig;
use tower::Layer;
use tower_idempotency::store::DynStore;
use tower_idempotency::{CanonicalBody, IdempotencyLayer, JsonPointer, Settings};

use super::secrets::Secrets;
use super::{Guard, Kept};
use crate::file::{At, File, Problem, Profile, Route, Upstream as UpstreamText};
use crate::identity::{Caller, Identity, Sources};
use crate::proxy::{ForwardedRules, Proxy, Upstream};
use crate::table::Table;
use crate::telemetry::Figures;
use crate::tls;

/// The namespace of routes that name none.
const NAMESPACE: &str = "gateway";

const GUARDED: [Method; 2] = [Method::POST, Method::PATCH];

pub(super) struct Maker<'a> {
    file: &'a File,
    folder: &'a Path,
    kept: &'a mut Kept,
    upstreams: Vec<(UpstreamText, Arc<Upstream>)>,
    /// Read for the first route, so that all routes have the same.
    secrets: Option<Secrets>,
    made: Made,
}

/// The parts of a plan besides its routes.
#[derive(Default)]
pub(super) struct Made {
    pub(super) namespaces: BTreeMap<String, IdempotencyLayer<DynStore>>,
    /// The addresses of the stores that are used.
    pub(super) stores: Vec<String>,
    /// The addresses of key sets that are used.
    pub(super) key_servers: Vec<String>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(file: &'a File, folder: &'a Path, kept: &'a mut Kept) -> Self {
        Self { file, folder, kept, upstreams: Vec::new(), secrets: None, made: Made::default() }
    }

    pub(super) fn end(self) -> Made {
        self.made
    }

    /// An upstream. Routes with the same one share its connections.
    fn upstream(&mut self, text: &At<UpstreamText>) -> Result<Arc<Upstream>, Problem> {
        if let Some((_, upstream)) = self.upstreams.iter().find(|(known, _)| *known == text.value) {
            return Ok(Arc::clone(upstream));
        }
        let table = text.value.table();
        let ca = table.ca.as_ref().map(|file| self.folder.join(file));
        if let Some(ca) = &ca {
            self.kept.beside.note(ca.clone());
        }
        let tls = tls::towards_upstreams(ca.as_deref()).map_err(|why| text.problem(why))?;
        let upstream = Upstream::new(&table, &self.file.timeouts, tls)
            .map(Arc::new)
            .map_err(|why| text.problem(why))?;
        self.upstreams.push((text.value.clone(), Arc::clone(&upstream)));
        Ok(upstream)
    }

    /// A proxy to an upstream.
    pub(super) fn proxy(
        &mut self,
        text: &At<UpstreamText>,
        figures: &Figures,
        retries: u32,
    ) -> Result<Proxy, Problem> {
        let upstream = self.upstream(text)?;
        let forwarded = ForwardedRules::new(self.file.forwarded.clone());
        let tunnels = self.kept.tunnels.with_idle(self.file.timeouts.upgraded.0);
        Ok(Proxy::new(upstream, forwarded, tunnels, figures.upstream_seconds.clone(), retries))
    }

    /// Adds a route to the table.
    pub(super) async fn add(
        &mut self,
        table: &mut Table<Guard>,
        route: &Route,
    ) -> Result<(), Problem> {
        let methods = methods(route, &self.file.defaults)?;
        let identity = self.identity(route)?;
        let paths = &route.paths.value.0;
        let figures = Figures::new(&paths[0]);
        let upstream = route.upstream.as_ref().unwrap_or(&self.file.upstream);
        let proxy = self.proxy(upstream, &figures, route.retries)?;
        let layer = self.layer(route, &methods, &paths[0]).await?;
        let guard = Guard { figures, identity, service: layer.layer(proxy) };
        let host = route.host.as_ref().map(|host| host.value.as_str());
        table.add(host, paths, methods, guard).map_err(|why| route.paths.problem(why))
    }

    fn identity(&mut self, route: &Route) -> Result<Identity, Problem> {
        let mut sources = Sources {
            folder: self.folder,
            servers: &mut self.kept.keys,
            used: &mut self.made.key_servers,
            beside: &mut self.kept.beside,
        };
        Identity::new(&route.scope.value, self.file, &mut sources)
            .map_err(|why| route.scope.problem(why))
    }

    /// TLS towards clients, if the file has it.
    pub(super) fn tls(&mut self) -> Result<Option<Arc<ServerConfig>>, Problem> {
        let Some(tls) = &self.file.tls else { return Ok(None) };
        tls::towards_clients(&tls.value, self.folder, &mut self.kept.beside)
            .map(Some)
            .map_err(|why| tls.problem(why))
    }

    async fn layer(
        &mut self,
        route: &Route,
        methods: &[Method],
        name: &str,
    ) -> Result<IdempotencyLayer<DynStore>, Problem> {
        let base = self.base(route).await?;
        let layer = match route.profile {
            Profile::Default => base,
            Profile::Ietf => base.ietf(),
            Profile::Stripe => base.stripe(),
        };
        let mut layer = layer
            .namespace(NAMESPACE)
            .settings(self.file.defaults.clone())
            .settings(route.settings.clone())
            .methods(methods.iter().cloned())
            .scope(|parts| parts.extensions.get::<Caller>()?.scope());
        if route.canonical_json || !route.ignore.is_empty() {
            layer = layer.fingerprint(canonical(route)?);
        }
        let labels = route.label_records.or_else(|| field(&self.file.defaults, "label_records"));
        if labels.unwrap_or(true) {
            let name = name.to_owned();
            layer = layer.label_records_with(move |_| Some(name.clone()));
        }
        let namespace = [&route.settings, &self.file.defaults]
            .into_iter()
            .find_map(|settings| field(settings, "namespace"))
            .unwrap_or_else(|| NAMESPACE.to_owned());
        self.made.namespaces.entry(namespace).or_insert_with(|| layer.clone());
        Ok(layer)
    }

    /// A layer over the store of a route, with its secrets.
    async fn base(&mut self, route: &Route) -> Result<IdempotencyLayer<DynStore>, Problem> {
        let Some(store) = route.store.as_ref().or(self.file.store.as_ref()) else {
            return Err(Problem::at(
                route.position,
                "there is no store: write store = \"redis://127.0.0.1:6379\" at the top, or store = \
                 \"memory\" if one gateway without a restart is enough",
            ));
        };
        if let Some(file) = store.value.file() {
            self.kept.beside.note(self.folder.join(file));
        }
        let url = store.value.read(self.folder).map_err(|why| store.problem(why))?;
        let mut layer = self.kept.stores.open(&url).await.map_err(|why| store.problem(why))?;
        self.made.stores.push(url);
        let Secrets { digests, responses } = self.secrets()?;
        if let Some(secret) = digests {
            layer = layer.secret(secret);
        }
        if let Some(keys) = responses {
            layer = layer.encrypt(keys);
        }
        Ok(layer)
    }

    fn secrets(&mut self) -> Result<Secrets, Problem> {
        if let Some(secrets) = &self.secrets {
            return Ok(secrets.clone());
        }
        let secrets = Secrets::read(self.file, self.folder, &mut self.kept.beside)?;
        Ok(self.secrets.insert(secrets).clone())
    }
}

fn methods(route: &Route, defaults: &Settings) -> Result<Vec<Method>, Problem> {
    let Some(methods) = &route.methods else {
        let names: Option<Vec<String>> = field(defaults, "methods");
        // They were checked when they were read.
        let methods =
            names.map(|names| names.iter().filter_map(|name| name.parse().ok()).collect());
        return Ok(methods.unwrap_or_else(|| GUARDED.to_vec()));
    };
    if methods.value.is_empty() {
        return Err(methods.problem("a route has at least one method"));
    }
    let method = |name: &String| {
        let is_upper = name.bytes().all(|byte| byte.is_ascii_uppercase());
        name.parse().ok().filter(|_| is_upper).ok_or_else(|| {
            methods.problem(format!("`{name}` is not a method: write it in upper case"))
        })
    };
    methods.value.iter().map(method).collect()
}

fn canonical(route: &Route) -> Result<CanonicalBody, Problem> {
    route.ignore.iter().try_fold(CanonicalBody::json(), |rule, pointer| {
        let place = JsonPointer::new(&pointer.value)
            .map_err(|error| pointer.problem(format!("`{}`: {error}", pointer.value)))?;
        Ok(rule.ignore(place))
    })
}

/// A field of settings, which show themselves only as text.
fn field<T: DeserializeOwned>(settings: &Settings, name: &str) -> Option<T> {
    let shown = serde_json::to_value(settings).ok()?;
    serde_json::from_value(shown.get(name)?.clone()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn methods_of(defaults: &str, route: &str) -> Vec<Method> {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nupstream = \"http://127.0.0.1:1\"\n[defaults]\n{defaults}\n\
             [[route]]\npath = \"/\"\nscope = \"everyone\"\n{route}\n"
        );
        let file = File::parse(&text).unwrap();
        methods(&file.routes[0], &file.defaults).unwrap()
    }

    #[test]
    fn a_route_has_its_own_methods_or_those_of_the_defaults() {
        assert_eq!(methods_of("", ""), GUARDED);
        assert_eq!(methods_of("methods = [\"PUT\"]", ""), [Method::PUT]);
        assert_eq!(methods_of("methods = [\"PUT\"]", "methods = [\"DELETE\"]"), [Method::DELETE]);
    }

    #[test]
    fn a_field_of_settings_is_read() {
        let settings: Settings =
            toml::from_str("label_records = false\nnamespace = \"a\"").unwrap();
        assert_eq!(field(&settings, "label_records"), Some(false));
        assert_eq!(field(&settings, "namespace"), Some("a".to_owned()));
        assert_eq!(field::<bool>(&settings, "require_key"), None);
    }
}
