//! Memory for runs, kept from one to the next: what a run needs is allocated by the first that needs it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use aiinference_engine::Workspace;

/// Bytes that are kept in all. A run that needs more has it, and gives it back.
const MOST_BYTES: u64 = 64 << 20;

/// As many as have run at the same time. What they held before decides nothing.
#[derive(Debug, Default)]
pub(crate) struct Workspaces {
    kept: Mutex<Vec<Workspace>>,
}

impl Workspaces {
    /// Runs something in a workspace that no other has meanwhile.
    pub fn with<T>(&self, run: impl FnOnce(&mut Workspace) -> T) -> T {
        let mut workspace = self.lock().pop().unwrap_or_default();
        let result = run(&mut workspace);
        let mut kept = self.lock();
        let others: u64 = kept.iter().map(Workspace::bytes).sum();
        if others.saturating_add(workspace.bytes()) <= MOST_BYTES {
            kept.push(workspace);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Workspace>> {
        // Nothing that panics runs under the lock, and a list of workspaces is sound in any state.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use aiinference_engine::{
        graph::{Graph, Input, Op, Output},
        Kernels, Program,
    };

    use super::*;
    use crate::engine_limits;

    /// A model that needs at least 4 bytes an element.
    fn program(elements: u32) -> Program {
        let mut graph = Graph::new();
        let x = graph.input(Input {
            name: "x".into(),
            shape: vec![elements],
            fraction_bits: 0,
            low: -9,
            high: 9,
            saturate: false,
        });
        let value = graph.push(Op::Clamp { x, low: 0, high: 5 });
        graph.outputs.push(Output {
            name: "y".into(),
            value,
            fraction_bits: 0,
            labels: vec![],
        });
        Program::new(graph, &engine_limits()).unwrap()
    }

    fn run(workspaces: &Workspaces, elements: u32) {
        let program = program(elements);
        let x = vec![7; elements as usize];
        workspaces.with(|workspace| {
            let results = program.run_in(workspace, &[&x], &Kernels::scalar()).unwrap();
            assert!(results.get(0).unwrap().iter().all(|y| *y == 5));
        });
    }

    #[test]
    fn a_workspace_serves_one_run_after_another() {
        let workspaces = Workspaces::default();
        for elements in [1000, 10, 3000] {
            run(&workspaces, elements);
            assert_eq!(workspaces.lock().len(), 1);
        }
        let bytes = workspaces.lock()[0].bytes();
        assert!((12_000..100_000).contains(&bytes), "{bytes}");
        // Two at the same time have one each.
        workspaces.with(|_| run(&workspaces, 5));
        assert_eq!(workspaces.lock().len(), 2);
    }

    #[test]
    fn no_more_is_kept_than_stated() {
        let workspaces = Workspaces::default();
        let elements = (MOST_BYTES / 4) as u32;
        run(&workspaces, elements);
        assert!(workspaces.lock().is_empty());
        run(&workspaces, 100);
        workspaces.with(|_| run(&workspaces, elements));
        assert_eq!(workspaces.lock().len(), 1);
        assert!(workspaces.lock()[0].bytes() < MOST_BYTES);
    }
}
