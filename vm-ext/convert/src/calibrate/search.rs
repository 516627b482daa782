//! The widest model that fits a cost, or the cheapest that is good enough.
//!
//! From the defaults, every knob is turned to every rung of the ladder by itself, which shows what it does to the error
//! at the outputs and to the gas. Squared errors of different layers add up, nearly; so the steps that follow are taken
//! greedily, by error per gas. Gas is that of the whole model at every step, errors are measured again with each step that a limit
//! depends on.

use super::knobs::{knobs, Knob, Part, LADDER, SHORT_LADDER};
use super::{program, Bench, Context, Precisions, Tell};
use crate::error::{ConvertError, Result};
use crate::samples::Samples;

/// Knobs that are turned at most.
const MOST_KNOBS: usize = 120;
/// With more knobs than this the ladder is the short one.
const MANY_KNOBS: usize = 60;
/// A model is tried so often at most, beside the first look at every rung.
const MOST_STEPS: usize = 160;
/// How often the rungs above are looked at anew, once none of them promises anything any more.
const MOST_LOOKS: usize = 2;
/// Share of the squared error that narrowing may add at first, to have gas where it brings more.
const FREE: f64 = 0.1;
/// A step that saves less than this share of what it promised is put back among the others.
const KEPT_PROMISE: f64 = 0.75;

/// What a rung does by itself, beside the default.
#[derive(Clone, Copy, Debug)]
struct Effect {
    bits: u32,
    error: f64,
    gas: f64,
}

/// A step from the present rung of a knob to another one.
#[derive(Clone, Copy, Debug)]
struct Step {
    knob: usize,
    /// Place in the knob's effects.
    rung: usize,
    /// Change of the squared error that is expected.
    error: f64,
    /// Change of the gas that is expected.
    gas: f64,
}

struct Search<'a, 'b> {
    context: &'a Context<'a>,
    bench: Bench<'a>,
    knobs: Vec<Knob>,
    /// Per knob, from narrow to wide.
    effects: Vec<Vec<Effect>>,
    /// Per knob: the present rung.
    at: Vec<usize>,
    /// Per knob and rung: not to be tried again.
    barred: Vec<Vec<bool>>,
    /// The least error beside which others do not count.
    floor: f64,
    done: usize,
    most: usize,
    looks: usize,
    tell: Tell<'b>,
}

/// Searches; the precisions of the result, and those it went through from dearer ones on, the last one first.
pub fn search(context: &Context, samples: &Samples, tell: Tell) -> Result<Vec<Precisions>> {
    let default = context.quantised(context.net, &Precisions::new())?;
    let first = program(&default)?;
    let knobs = knobs(context.net, &default, &first, MOST_KNOBS);
    let ladder: &[u32] = if knobs.len() > MANY_KNOBS {
        &SHORT_LADDER
    } else {
        &LADDER
    };
    let most = knobs.len() * ladder.len() * (1 + MOST_LOOKS) + MOST_STEPS;
    let bench = Bench::new(context.net, samples, most, first.run_gas());
    let mut search = Search {
        context,
        bench,
        at: vec![0; knobs.len()],
        effects: vec![],
        barred: vec![],
        knobs,
        floor: 0.0,
        done: 0,
        most,
        looks: 0,
        tell,
    };
    let base = search.bench.run(&default)?;
    search.floor = base.error.max(f64::MIN_POSITIVE) * 1e-6;
    for k in 0..search.knobs.len() {
        let knob = search.knobs[k];
        let mut effects = vec![];
        for bits in ladder.iter().copied().chain([knob.bits]) {
            if effects.iter().any(|e: &Effect| e.bits == bits) {
                continue;
            }
            let (mut error, mut gas) = (0.0, 0.0);
            if bits != knob.bits {
                search.tick();
                let mut precisions = Precisions::new();
                knob.set(bits, &mut precisions);
                let quantised = context.quantised(context.net, &precisions)?;
                if quantised.graph == default.graph {
                    continue;
                }
                let trial = search.bench.run(&quantised)?;
                error = trial.error - base.error;
                gas = trial.gas as f64 - base.gas as f64;
            }
            effects.push(Effect { bits, error, gas });
        }
        effects.sort_by_key(|e| e.bits);
        search.at[k] = effects.iter().position(|e| e.bits == knob.bits).unwrap_or(0);
        search.barred.push(vec![false; effects.len()]);
        search.effects.push(effects);
    }
    match (context.options.max_error, context.options.max_gas) {
        (Some(limit), _) => search.cheapest(limit),
        (None, Some(limit)) => search.widest(limit).map(|found| vec![found]),
        (None, None) => Ok(vec![Precisions::new()]),
    }
}

impl Search<'_, '_> {
    fn tick(&mut self) {
        self.done += 1;
        (self.tell)(self.done.min(self.most), self.most);
    }

    fn precisions(&self, at: &[usize]) -> Precisions {
        let mut precisions = Precisions::new();
        for (k, knob) in self.knobs.iter().enumerate() {
            knob.set(self.effects[k][at[k]].bits, &mut precisions);
        }
        precisions
    }

    fn gas(&self, at: &[usize]) -> Result<u64> {
        let quantised = self.context.quantised(self.context.net, &self.precisions(at))?;
        Ok(program(&quantised)?.run_gas())
    }

    fn trial(&mut self, at: &[usize]) -> Result<super::trial::Trial> {
        self.tick();
        let quantised = self.context.quantised(self.context.net, &self.precisions(at))?;
        self.bench.run(&quantised)
    }

    fn spent(&self) -> bool {
        self.done >= self.most
    }

    /// Steps to narrower rungs, or to wider ones.
    fn steps(&self, wider: bool) -> Vec<Step> {
        let mut steps = vec![];
        for (knob, effects) in self.effects.iter().enumerate() {
            let now = effects[self.at[knob]];
            for (rung, effect) in effects.iter().enumerate() {
                if (effect.bits > now.bits) == wider && effect.bits != now.bits && !self.barred[knob][rung] {
                    steps.push(Step {
                        knob,
                        rung,
                        error: effect.error - now.error,
                        gas: effect.gas - now.gas,
                    });
                }
            }
        }
        steps
    }

    /// The narrowing step that saves most gas per error, with the gas that the model has after it. Rungs that save nothing
    /// are barred.
    fn narrowing(&mut self, gas: u64) -> Result<Option<(Step, u64)>> {
        loop {
            let steps = self.steps(false).into_iter().filter(|s| s.gas < 0.0);
            let worth = |s: &Step| -s.gas / (s.error.max(0.0) + self.floor);
            let best = steps.reduce(|a, b| if worth(&b) > worth(&a) { b } else { a });
            let Some(step) = best else { return Ok(None) };
            let mut at = self.at.clone();
            at[step.knob] = step.rung;
            let after = self.gas(&at)?;
            if after >= gas {
                self.barred[step.knob][step.rung] = true;
                continue;
            }
            let saved = (gas - after) as f64;
            if saved < -step.gas * KEPT_PROMISE {
                // Others, turned before, saved a part of it already: what is left is what it is worth now.
                self.effects[step.knob][step.rung].gas = self.effects[step.knob][self.at[step.knob]].gas - saved;
                continue;
            }
            return Ok(Some((step, after)));
        }
    }

    /// The widening step that takes away most error per gas.
    fn widening(&self) -> Option<Step> {
        let steps = self.steps(true).into_iter().filter(|s| s.error < 0.0);
        let worth = |s: &Step| -s.error / s.gas.max(1.0);
        steps.reduce(|a, b| if worth(&b) > worth(&a) { b } else { a })
    }

    /// Looks at the wider rungs anew, from where the search is: beside errors that are gone by now, smaller ones show.
    /// False where that was done often enough, or shows nothing.
    fn look(&mut self, trial: &super::trial::Trial) -> Result<bool> {
        if self.looks == MOST_LOOKS {
            return Ok(false);
        }
        self.looks += 1;
        for knob in 0..self.knobs.len() {
            let now = self.at[knob];
            self.effects[knob][now].error = 0.0;
            self.effects[knob][now].gas = 0.0;
            for rung in now + 1..self.effects[knob].len() {
                let mut at = self.at.clone();
                at[knob] = rung;
                let tried = self.trial(&at)?;
                let effect = &mut self.effects[knob][rung];
                effect.error = tried.error - trial.error;
                effect.gas = tried.gas as f64 - trial.gas as f64;
                self.barred[knob][rung] = false;
            }
        }
        Ok(self.widening().is_some())
    }

    /// All weights as wide as the ladder goes: a few narrow layers may hide what each of them would bring by itself.
    fn widest_weights(&self) -> Vec<usize> {
        let knobs = self.knobs.iter().zip(&self.effects).zip(&self.at);
        knobs
            .map(|((knob, effects), at)| match knob.part {
                Part::Weights => effects.len() - 1,
                Part::Value => *at,
            })
            .collect()
    }

    /// The least error within a cost.
    fn widest(&mut self, limit: u64) -> Result<Precisions> {
        let mut gas = self.gas(&self.at)?;
        while gas > limit {
            let Some((step, after)) = self.narrowing(gas)? else {
                return Err(ConvertError::Cost { limit, least: gas });
            };
            self.at[step.knob] = step.rung;
            gas = after;
        }
        let mut fits = self.at.clone();
        let mut least = self.trial(&fits)?;
        let wide = self.widest_weights();
        if wide != fits && self.gas(&wide)? <= limit {
            let tried = self.trial(&wide)?;
            if tried.error < least.error {
                (self.at, fits, least) = (wide.clone(), wide, tried);
            }
        }
        self.free(least.error * FREE)?;
        self.barred.iter_mut().flatten().for_each(|b| *b = false);
        let mut trial = self.trial(&self.at.clone())?;
        while !self.spent() {
            let Some(step) = self.widening() else {
                if self.look(&trial)? {
                    continue;
                }
                break;
            };
            let mut at = self.at.clone();
            at[step.knob] = step.rung;
            let fits = self.gas(&at)? <= limit;
            let tried = if fits { Some(self.trial(&at)?) } else { None };
            match tried.filter(|t| t.error < trial.error) {
                Some(better) => {
                    self.at = at;
                    trial = better;
                }
                None => self.barred[step.knob][step.rung] = true,
            }
        }
        let best = if trial.error <= least.error { &self.at } else { &fits };
        Ok(self.precisions(best))
    }

    /// Narrows what hardly adds to the error, all together by no more than `most`: gas that others may need more.
    fn free(&mut self, most: f64) -> Result<()> {
        let mut gas = self.gas(&self.at)?;
        let mut added = 0.0;
        while let Some((step, after)) = self.narrowing(gas)? {
            if added + step.error.max(0.0) > most {
                self.barred[step.knob][step.rung] = true;
                continue;
            }
            added += step.error.max(0.0);
            self.at[step.knob] = step.rung;
            gas = after;
        }
        Ok(())
    }

    /// The least cost with which the model is worse by no more than `limit`. Where none is good enough, the best one.
    fn cheapest(&mut self, limit: f64) -> Result<Vec<Precisions>> {
        let mut trial = self.trial(&self.at.clone())?;
        let good = |t: &super::trial::Trial| t.drop <= limit;
        let wide = self.widest_weights();
        if !good(&trial) && wide != self.at {
            let tried = self.trial(&wide)?;
            if tried.error < trial.error {
                (self.at, trial) = (wide, tried);
            }
        }
        while !good(&trial) && !self.spent() {
            let Some(step) = self.widening() else {
                if self.look(&trial)? {
                    continue;
                }
                break;
            };
            let mut at = self.at.clone();
            at[step.knob] = step.rung;
            let tried = self.trial(&at)?;
            if tried.error < trial.error {
                self.at = at;
                trial = tried;
            } else {
                self.barred[step.knob][step.rung] = true;
            }
        }
        let mut passed = vec![self.precisions(&self.at)];
        if !good(&trial) {
            return Ok(passed);
        }
        self.barred.iter_mut().flatten().for_each(|b| *b = false);
        while !self.spent() {
            let Some((step, _)) = self.narrowing(trial.gas)? else {
                break;
            };
            let mut at = self.at.clone();
            at[step.knob] = step.rung;
            let tried = self.trial(&at)?;
            if good(&tried) {
                self.at = at;
                trial = tried;
                passed.push(self.precisions(&self.at));
            } else {
                // What is narrower still will not do either.
                (0..=step.rung).for_each(|r| self.barred[step.knob][r] = true);
            }
        }
        passed.reverse();
        Ok(passed)
    }
}
