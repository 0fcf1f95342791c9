//! Pages of a list, and of the statistics.

use super::place::{COUNT, Place};
use super::scan::{Scan, Step};
use crate::record::key::StorageKey;
use crate::store::StoreError;
use crate::store::operator::{
    Cursor, ListPage, ListRequest, Progress, RecordInfo, Stats, StatsPage,
};
use crate::store::redis::RedisStore;

/// How many steps a page takes at most.
const STEPS: usize = 40;

impl RedisStore {
    pub(in crate::store::redis) async fn listed(
        &self,
        request: &ListRequest,
    ) -> Result<ListPage, StoreError> {
        let digits = request.filter.digits.as_deref().unwrap_or_default();
        if digits.len() > 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(ListPage::default());
        }
        if let Some(key) = StorageKey::from_hex(digits) {
            let found = self.shown(&key).await?.record;
            let passes = found.filter(|info| request.filter.passes(info));
            return Ok(ListPage::new(passes.into_iter().collect(), None));
        }
        let place = Place::of(request.after.as_ref())?;
        let mut page = Page::new(request.limit as usize, Scan::of(self, digits, place));
        for _ in 0..STEPS {
            let Some(step) = page.scan.step().await? else { break };
            let records: Vec<_> =
                step.records.iter().filter(|info| request.filter.passes(info)).cloned().collect();
            if page.add(&step, records) {
                break;
            }
        }
        let next = page.scan.place.cursor();
        Ok(ListPage::new(page.records, next).progress(page.progress))
    }

    pub(in crate::store::redis) async fn counted(
        &self,
        after: Option<&Cursor>,
    ) -> Result<StatsPage, StoreError> {
        let mut scan = Scan::of(self, "", Place::of(after)?);
        let (mut stats, mut progress) = (Stats::default(), None);
        for _ in 0..STEPS {
            let Some(step) = scan.step().await? else { break };
            step.records.iter().for_each(|info| stats.add(info));
            note(&mut progress, &step);
            scan.advance(&step);
        }
        Ok(StatsPage::new(stats, scan.place.cursor(), progress))
    }
}

fn note(progress: &mut Option<Progress>, step: &Step) {
    let read = progress.map_or(0, |progress| progress.read) + step.read;
    *progress = Some(Progress { read, of: step.of });
}

/// A page that is being filled.
struct Page<'a> {
    records: Vec<RecordInfo>,
    limit: usize,
    scan: Scan<'a>,
    progress: Option<Progress>,
}

impl<'a> Page<'a> {
    fn new(limit: usize, scan: Scan<'a>) -> Self {
        Self { records: Vec::new(), limit, scan, progress: None }
    }

    /// Adds the records of a step that pass the filter. Whether the page has enough of them.
    ///
    /// If they do not fit, the server must go through the same names again, because it goes on
    /// behind all of them only. So the next step has fewer names, and what does not fit is left to
    /// the next page.
    fn add(&mut self, step: &Step, found: Vec<RecordInfo>) -> bool {
        let (free, many) = (self.limit - self.records.len(), found.len());
        let count = self.scan.place.count;
        if many <= free {
            note(&mut self.progress, step);
            self.scan.advance(step);
            self.records.extend(found);
            let free = free - many;
            if many < free / 4 {
                self.scan.place.count = (2 * count).min(COUNT);
            }
            // The records of one more step like this one would not fit.
            return free == 0 || many > free;
        }
        if self.records.is_empty() && count == 1 {
            self.records.extend(found.into_iter().take(free));
            self.records.iter().for_each(|info| self.scan.place.list(&info.key));
            return true;
        }
        // Three quarters of a page, because not all steps find as many.
        self.scan.place.count = (count * self.limit * 3 / 4 / many).clamp(1, count);
        !self.records.is_empty()
    }
}
