//! Without the feature `quota`, a value of this type cannot exist.

use std::time::Duration;

use crate::record::key::ScopeDigest;

pub(crate) enum NewKeys {}

impl NewKeys {
    pub(crate) fn wait(&self, _: ScopeDigest) -> Option<Duration> {
        match *self {}
    }

    pub(crate) fn may_look(&self, _: ScopeDigest) -> bool {
        match *self {}
    }

    pub(crate) fn take(&self, _: ScopeDigest) -> Result<(), Duration> {
        match *self {}
    }
}
