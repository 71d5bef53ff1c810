//! One statement that is held: a task that asks, waits for what becomes of it, and tells its session.

use std::sync::Arc;

use approval::{Answer, Ask, Claimer, Ended, Grant, Number, Request, State};
use store::Kept;
use tokio::sync::{Notify, mpsc, oneshot};

use super::asks::{Begun, Terms};
use super::{Desk, Trouble, now};

/// What a session has asked. Dropped, it is withdrawn.
pub(crate) struct Asked {
    answers: mpsc::UnboundedReceiver<Answer>,
    withdraw: Option<oneshot::Sender<Ended>>,
    desk: Arc<Desk>,
    requester: String,
    database: String,
}

impl Asked {
    /// Returns the next answer; `None` after the last.
    pub(crate) fn poll(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Answer>> {
        self.answers.poll_recv(cx)
    }

    /// Nobody waits for it any more.
    pub(crate) fn withdraw(mut self, why: Ended) {
        if let Some(withdraw) = self.withdraw.take() {
            // Where the task has ended, there is nothing to withdraw.
            let _over = withdraw.send(why);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.answers.close();
        while let Ok(answer) = self.answers.try_recv() {
            if let Answer::Granted(grant) = answer {
                self.desk.undelivered(&grant, &self.requester, &self.database);
            }
        }
    }
}

/// A place among those who wait.
struct Place<'a> {
    desk: &'a Desk,
    number: Number,
    bell: Arc<Notify>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.desk.wait_no_more(self.number);
    }
}

impl Desk {
    /// Puts something before approvers for a live session.
    pub(crate) fn ask(self: &Arc<Self>, ask: Ask, terms: Terms) -> Asked {
        let (answer, answers) = mpsc::unbounded_channel();
        let (withdraw, withdrawn) = oneshot::channel();
        let (requester, database) = (ask.requester.to_string(), ask.database.clone());
        let desk = self.clone();
        tokio::spawn(async move {
            let (requester, database) = (ask.requester.to_string(), ask.database.clone());
            let Some(last) = desk.answer(ask, &terms, &answer, withdrawn).await else { return };
            if let Err(mpsc::error::SendError(Answer::Granted(grant))) = answer.send(last) {
                desk.undelivered(&grant, &requester, &database);
            }
        });
        Asked { answers, withdraw: Some(withdraw), desk: self.clone(), requester, database }
    }

    fn undelivered(&self, grant: &Grant, requester: &str, database: &str) {
        self.note_undelivered(grant.number(), requester, database, "it was taken, and its session had gone");
    }

    /// Returns the last answer; `None` where nobody waits for one.
    async fn answer(
        &self,
        ask: Ask,
        terms: &Terms,
        answers: &mpsc::UnboundedSender<Answer>,
        mut withdrawn: oneshot::Receiver<Ended>,
    ) -> Option<Answer> {
        let begun = match self.begin(&ask, terms).await {
            Ok(begun) => begun,
            Err(refused) => return Some(Answer::Failed(refused.to_string())),
        };
        let (request, told) = match begun {
            Begun::Answered(answer) => return Some(answer),
            Begun::Opened(request, told) => (request, told),
        };
        // What a text of a megabyte takes is not kept for as long as somebody thinks about it.
        drop(ask);
        let number = request.number;
        let place = Place { desk: self, number, bell: self.wait_for(number, request.until) };
        let held = Held::of(&request);
        drop(request);
        // Where it can't be delivered, `withdrawn` says so too.
        let _gone = answers.send(Answer::Waiting(told));
        // Somebody may have decided before anybody waited for that.
        place.bell.notify_one();
        loop {
            tokio::select! {
                biased;
                why = &mut withdrawn => {
                    self.end(number, why.unwrap_or(Ended::SessionEnded)).await;
                    return None;
                }
                () = place.bell.notified() => {
                    if let Some(answer) = self.look(&held).await {
                        return Some(answer);
                    }
                }
            }
        }
    }

    /// Looks what has become of a request that is waited for; `None`: nothing yet.
    async fn look(&self, held: &Held) -> Option<Answer> {
        let number = held.number;
        match self.outcome(held).await {
            Ok(answer) => answer,
            Err(trouble) if now() < held.until => {
                tracing::warn!(%number, error = oidc::chain(&trouble), "what became of a request can't be seen");
                if let Trouble::Store(_) = trouble {
                    self.look_again(number);
                    return None;
                }
                self.end(number, Ended::Lost).await;
                Some(Answer::Failed(trouble.to_string()))
            }
            // It may be approved or not: nobody will use it.
            Err(_) => Some(Answer::Ended { number, why: Ended::Expired }),
        }
    }

    async fn outcome(&self, held: &Held) -> Result<Option<Answer>, Trouble> {
        let number = held.number;
        let kept =
            self.try_end(number, |request| request.state == State::Open && request.expire(now())).await?;
        let Some(kept) = kept else { return Ok(Some(Answer::Ended { number, why: Ended::Lost })) };
        Ok(match kept.request.state {
            State::Open => None,
            State::Approved => Some(self.release(held, kept).await?),
            State::Denied => {
                let denial = kept.request.denial();
                Some(Answer::Denied {
                    number,
                    by: denial.map(|vote| vote.by.to_string()).unwrap_or_default(),
                    message: denial.and_then(|vote| vote.reason.clone()),
                })
            }
            // Only this session could use it.
            State::Used => Some(Answer::Ended { number, why: Ended::Lost }),
            State::Ended(why) => Some(Answer::Ended { number, why }),
        })
    }

    async fn release(&self, held: &Held, kept: Kept) -> Result<Answer, Trouble> {
        let request = &kept.request;
        let requester = request.ask.requester.clone();
        let claimer = Claimer {
            requester: &requester,
            session: held.session.as_deref(),
            bindings: (request.ask.binding, request.ask.pattern),
        };
        Ok(match self.claim(kept, &claimer).await? {
            Some(grant) => Answer::Granted(grant),
            // In between its time was over, or somebody has closed it.
            None => {
                let now = self.store.request(held.number).await?.map(|kept| kept.request.state);
                let why = if let Some(State::Ended(why)) = now { why } else { Ended::Expired };
                Answer::Ended { number: held.number, why }
            }
        })
    }
}

/// What is remembered of a held statement.
struct Held {
    number: Number,
    session: Option<String>,
    until: approval::Stamp,
}

impl Held {
    fn of(request: &Request) -> Self {
        Self { number: request.number, session: request.ask.session.clone(), until: request.until }
    }
}
