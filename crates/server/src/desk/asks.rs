//! What is asked: by what was approved before, by what waits already, or by a new request.

use std::collections::BTreeSet;

use approval::{Answer, Ask, Binding, Claimer, Ended, Grant, Number, Request, State, Wait, Waiting};
use store::{Kept, RequestFilter, Standing};

use super::{Desk, Happened, TRIES_MAX, Trouble, now};

/// The largest request, as JSON: what is larger nobody would read whole, and an inbox of such would not be usable.
const ASK_BYTES_MAX: usize = 4 << 20;
/// The most uses of a pattern.
const USES_MAX: u32 = 1000;
/// Requests of one binding that are looked at; there are hardly ever two.
const LOOKED_AT_MAX: u32 = 20;

/// What is configured of requests.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    /// Open ones at one time.
    pub(crate) open_max: u64,
    /// Likewise of one identity.
    pub(crate) each_max: u64,
    /// Where people reach the gateway: `https://gatepost.example.com`.
    pub(crate) public_url: Option<String>,
}

/// Why nobody is asked.
#[derive(Debug, thiserror::Error)]
pub enum AskRefused {
    /// Whoever asks: it makes no sense.
    #[error("{0}")]
    Invalid(&'static str),
    /// Nobody: what is open must be decided first.
    #[error("{0} requests for approval are open already, and no more are taken")]
    Full(u64),
    /// Whoever asks: likewise of its own.
    #[error("{0} requests for approval of this identity are open already, and no more are taken")]
    FullForOne(u64),
    /// Operator.
    #[error("{0}")]
    Trouble(String),
}

impl From<Trouble> for AskRefused {
    fn from(trouble: Trouble) -> Self {
        // Where it is and what it said is for the log: this is told to clients.
        tracing::error!(error = oidc::chain(&trouble), "approvers can't be asked");
        Self::Trouble(trouble.to_string())
    }
}

impl Desk {
    /// Returns what there is to say at once, and the request that is to be waited for, if there is.
    pub(super) async fn begin(&self, ask: &Ask, terms: &Terms) -> Result<Begun, AskRefused> {
        check(ask)?;
        if let Some(grant) = self.take_approved(ask).await? {
            return Ok(Begun::Answered(Answer::Granted(grant)));
        }
        if ask.wait == Wait::Async
            && let Some(known) = self.known(ask).await?
        {
            return Ok(Begun::Answered(match known.denial() {
                Some(denial) if known.state == State::Denied => Answer::Denied {
                    number: known.number,
                    by: denial.by.to_string(),
                    message: denial.reason.clone(),
                },
                _ => Answer::Waiting(waiting(&known, terms)),
            }));
        }
        if ask.hold.is_zero() {
            return Err(AskRefused::Invalid("nothing is held here, and it has not been approved before"));
        }
        let request = self.open(ask, terms).await?;
        let told = waiting(&request, terms);
        Ok(match ask.wait {
            Wait::Async | Wait::Before => Begun::Answered(Answer::Waiting(told)),
            Wait::Held { .. } => Begun::Opened(Box::new(request), told),
        })
    }

    /// Opens a request that nobody waits for yet.
    ///
    /// # Errors
    /// [`AskRefused`]: nothing is open.
    pub(crate) async fn ask_before(&self, ask: &Ask, terms: &Terms) -> Result<Request, AskRefused> {
        check(ask)?;
        if ask.wait != Wait::Before {
            return Err(AskRefused::Invalid("this is for what is to run later"));
        }
        self.open(ask, terms).await
    }

    /// Takes a use of what was approved before: in the other mode that doesn't wait, or for later.
    async fn take_approved(&self, ask: &Ask) -> Result<Option<Grant>, Trouble> {
        let claimer = Claimer {
            requester: &ask.requester,
            session: ask.session.as_deref(),
            bindings: (ask.binding, ask.pattern),
        };
        for binding in [Some(ask.binding), ask.pattern].into_iter().flatten() {
            let approved = self.of_binding(ask, binding, [Standing::Approved]).await?;
            for kept in approved.into_iter().filter(|kept| is_for_all(&kept.request, ask)) {
                if let Some(grant) = self.claim(kept, &claimer).await? {
                    return Ok(Some(grant));
                }
            }
        }
        Ok(None)
    }

    /// Finds what the same statement was asked before and still counts: a request that is open, or a denial within the time that its request had.
    async fn known(&self, ask: &Ask) -> Result<Option<Request>, Trouble> {
        let now = now();
        let kept = self.of_binding(ask, ask.binding, [Standing::Open, Standing::Denied]).await?;
        let mut same = kept.into_iter().map(|kept| kept.request).filter(|request| {
            let theirs = request.ask.requester.is(&ask.requester)
                && request.ask.requester.on_behalf_of == ask.requester.on_behalf_of;
            let without_session = !matches!(request.ask.wait, Wait::Held { .. });
            theirs && without_session && now < request.until && is_for_all(request, ask)
        });
        Ok(same.next())
    }

    async fn of_binding<const N: usize>(
        &self,
        ask: &Ask,
        binding: Binding,
        states: [Standing; N],
    ) -> Result<Vec<Kept>, Trouble> {
        let filter = RequestFilter {
            states: BTreeSet::from(states),
            requester: Some(ask.requester.to_string()),
            binding: Some(binding),
            limit: Some(LOOKED_AT_MAX),
            ..RequestFilter::default()
        };
        Ok(self.store.requests(&filter).await?)
    }

    /// Takes one use, in the store before anybody has the grant. `None`: there is none to take.
    pub(super) async fn claim(&self, kept: Kept, claimer: &Claimer<'_>) -> Result<Option<Grant>, Trouble> {
        let (number, mut kept) = (kept.request.number, kept);
        for _ in 0..TRIES_MAX {
            let mut request = kept.request.clone();
            let Ok(claim) = request.claim(claimer, now()) else { return Ok(None) };
            self.record_used(&request, claimer.session)?;
            match self.store.replace(&request, kept.version).await {
                Ok(true) => {
                    if !request.is_live() {
                        self.tell(&request, Happened::Ended);
                    }
                    return Ok(Some(claim.written()));
                }
                Ok(false) => self.note_overtaken(number, "use", None, "session"),
                Err(error) => {
                    // It may have been taken: then it is lost, and no statement runs by it.
                    let (requester, database) = (request.ask.requester.to_string(), &request.ask.database);
                    self.note_undelivered(
                        number,
                        &requester,
                        database,
                        "the store did not say whether it was taken",
                    );
                    return Err(error.into());
                }
            }
            match self.store.request(number).await? {
                Some(again) => kept = again,
                None => return Ok(None),
            }
        }
        Err(Trouble::Overtaken)
    }

    async fn open(&self, ask: &Ask, terms: &Terms) -> Result<Request, AskRefused> {
        let trouble = |error: store::StoreError| AskRefused::from(Trouble::from(error));
        let one = self.opening.lock().await;
        let open = RequestFilter { states: BTreeSet::from([Standing::Open]), ..RequestFilter::default() };
        if self.store.count_requests(&open).await.map_err(trouble)? >= terms.open_max {
            return Err(AskRefused::Full(terms.open_max));
        }
        let own = RequestFilter { requester: Some(ask.requester.to_string()), ..open };
        if self.store.count_requests(&own).await.map_err(trouble)? >= terms.each_max {
            return Err(AskRefused::FullForOne(terms.each_max));
        }
        let opened = now();
        let until = opened.after(ask.hold);
        let request = self.store.open_request(ask, &self.instance, opened, until).await.map_err(trouble)?;
        drop(one);
        if let Err(error) = self.record_opened(&request) {
            // SECURITY: whatever is said to it in the meantime, nobody waits for it.
            self.end(request.number, Ended::Withdrawn).await;
            return Err(Trouble::from(error).into());
        }
        tracing::info!(number = %request.number, requester = ask.requester.to_string(), session = ask.session, database = ask.database, "approval is asked for");
        self.tell(&request, Happened::Opened);
        Ok(request)
    }

    /// Ends a request for another reason than a vote, if it is not over yet.
    pub(super) async fn end(&self, number: Number, why: Ended) {
        if let Err(error) = self.try_end(number, |request| request.end(why, now())).await {
            // Its time ends it, or whoever sweeps.
            tracing::error!(%number, error = oidc::chain(&error), "a request for approval could not be closed");
        }
    }

    /// Changes a request as `end` says, unless that says no; returns what it is then.
    pub(super) async fn try_end(
        &self,
        number: Number,
        end: impl Fn(&mut Request) -> bool,
    ) -> Result<Option<Kept>, Trouble> {
        for _ in 0..TRIES_MAX {
            let Some(mut kept) = self.store.request(number).await? else { return Ok(None) };
            if !end(&mut kept.request) {
                return Ok(Some(kept));
            }
            // SECURITY: to take something away does not wait for the journal to heal.
            if let Err(error) = self.record_ended(&kept.request, None, None) {
                tracing::error!(%number, %error, "the end of a request can't be recorded");
            }
            if self.store.replace(&kept.request, kept.version).await? {
                tracing::info!(%number, state = kept.request.state.as_str(), "approval");
                self.tell(&kept.request, Happened::Ended);
                kept.version += 1;
                return Ok(Some(kept));
            }
            self.note_overtaken(number, "end", None, "gateway");
        }
        Err(Trouble::Overtaken)
    }
}

/// Whether everybody was asked who is needed: of one statement the policy may need one group, and a limit that it is over another.
fn is_for_all(request: &Request, ask: &Ask) -> bool {
    ask.needs.iter().all(|need| request.ask.needs.iter().any(|asked| asked.name == need.name))
}

/// What has come of an ask so far.
pub(super) enum Begun {
    Answered(Answer),
    Opened(Box<Request>, Waiting),
}

fn check(ask: &Ask) -> Result<(), AskRefused> {
    if ask.needs.is_empty() {
        return Err(AskRefused::Invalid("nobody is named who could approve it"));
    }
    if ask.uses == 0 || ask.uses > USES_MAX || (ask.uses > 1 && !ask.statement.pattern) {
        return Err(AskRefused::Invalid("a statement is approved once, a pattern at most 1000 times"));
    }
    let size = serde_json::to_vec(ask).map_or(usize::MAX, |body| body.len());
    if size > ASK_BYTES_MAX {
        return Err(AskRefused::Invalid("it is too large to be shown to approvers whole"));
    }
    Ok(())
}

fn waiting(request: &Request, terms: &Terms) -> Waiting {
    let link = terms.public_url.as_ref().map(|url| format!("{url}/approvals/{}", request.number));
    Waiting { number: request.number, asked: request.asked(), until: request.until, link }
}
