//! Options of the cluster as a whole, what all resources are told, and tickets.

use heart_model::policy::TicketState;

use super::{Grower, NOW, Tier, Values};

impl Grower {
    pub(super) fn options(&mut self) {
        let mut options = Values::default();
        let fencing = match self.tier {
            Tier::Plain | Tier::Clones => self.chance.happens(150),
            Tier::Everything | Tier::Remote => self.chance.happens(800),
        };
        options.put("fencing-enabled", &fencing);
        if !self.calm {
            self.unusual(&mut options);
        }
        if self.chance.happens(80) {
            options.put("enable-startup-probes", &false);
        }
        if self.chance.happens(150) {
            options.put("concurrent-fencing", &false);
        }
        self.cluster.options = options.sets();
        self.defaults();
        self.known();
    }

    fn unusual(&mut self, options: &mut Values) {
        let chance = &mut self.chance;
        if chance.happens(350) {
            options.put(
                "no-quorum-policy",
                &chance.one_of(&["stop", "ignore", "freeze", "demote", "fence", "suicide"]),
            );
        }
        for (name, value, per_mille) in [
            ("symmetric-cluster", "false", 80),
            ("stop-all-resources", "true", 15),
            ("maintenance-mode", "true", 20),
            ("stop-removed-resources", "false", 60),
            ("stop-removed-actions", "false", 60),
            ("remove-after-stop", "true", 40),
            ("startup-fencing", "false", 60),
            ("fencing-action", "off", 100),
            ("have-watchdog", "true", 100),
        ] {
            if chance.happens(per_mille) {
                options.put(name, &value);
            }
        }
        if self.rarely(250) {
            let strategy = self.chance.one_of(&["utilization", "balanced", "minimal"]);
            options.put("placement-strategy", &strategy);
        }
        if self.rarely(60) {
            options.put("shutdown-lock", &true);
            if self.chance.happens(500) {
                options.put("shutdown-lock-limit", &"600s");
            }
        }
        if self.rarely(120) {
            let strategy =
                self.chance.one_of(&["migrate-on-red", "only-green", "progressive", "custom", "none"]);
            options.put("node-health-strategy", &strategy);
            if self.chance.happens(500) {
                options.put("node-health-red", &-200);
                options.put("node-health-yellow", &-10);
                options.put("node-health-base", &5);
            }
        }
        if self.chance.happens(60) {
            options.put("node-pending-timeout", &"120s");
        }
    }

    fn defaults(&mut self) {
        let mut defaults = Values::default();
        if self.calm {
            defaults.put("resource-stickiness", &"INFINITY");
        } else {
            if self.chance.happens(400) {
                let stickiness = self.chance.one_of(&["0", "1", "100", "1000", "INFINITY"]);
                defaults.put("resource-stickiness", &stickiness);
            }
            if self.chance.happens(100) {
                defaults.put("migration-threshold", &self.chance.between(1, 4));
            }
            if self.chance.happens(60) {
                defaults.put("failure-timeout", &"300s");
            }
        }
        self.cluster.resource_defaults = defaults.sets();
        let mut operations = Values::default();
        if !self.calm && self.chance.happens(60) {
            let answer = self.chance.one_of(&["restart", "ignore", "block", "stop", "standby", "fence"]);
            operations.put("on-fail", &answer);
        }
        self.cluster.operation_defaults = operations.sets();
    }

    fn known(&mut self) {
        self.state.quorum = self.calm || self.chance.happens(880);
        self.state.had_quorum = self.state.quorum || self.chance.happens(500);
        self.state.now = (self.calm || self.chance.happens(900)).then_some(NOW);
        self.state.watchdog = self.chance.happens(50);
        for name in ["east", "west"] {
            if self.rarely(600) {
                let granted = self.calm || self.chance.happens(700);
                let standby = !self.calm && self.chance.happens(150);
                let ticket = TicketState { granted, standby, ..TicketState::default() };
                self.state.tickets.insert(name.to_owned(), ticket);
            }
        }
    }
}
