//! Nodes: in every state in which they can be.

use heart_model::policy::{AttributeSet, JoinState, Node, NodeKind, NodeState, Score};

use super::{Grower, NOW, Tier, Values};

impl Grower {
    pub(super) fn nodes(&mut self) {
        let most = [3, 5, 8][self.chance.below(3)];
        let count = self.chance.between(1, most);
        for number in 1..=count {
            let node = self.written_node(number);
            if !self.trouble(20) {
                let state = self.node_state(&node);
                self.state.nodes.push(state);
            }
            self.cluster.nodes.push(node);
        }
        let leads = self.chance.below(self.state.nodes.len());
        self.state.leader = self.state.nodes.get(leads).map(|node| node.id.clone());
    }

    fn written_node(&mut self, number: usize) -> Node {
        let mut attributes = Values::default();
        attributes.put("rack", &["a", "b", "c"][number % 3]);
        if self.rarely(300) {
            attributes.put("site", &self.chance.one_of(&["east", "west"]));
        }
        if self.trouble(80) {
            attributes.put("standby", &"on");
        }
        if self.trouble(50) {
            attributes.put("maintenance", &"true");
        }
        let mut utilization = Values::default();
        if self.tier >= Tier::Everything {
            utilization.put("cpu", &self.chance.between(0, 8));
            if self.chance.happens(500) {
                utilization.put("memory", &self.chance.between(0, 2000));
            }
        }
        let score = if self.trouble(30) { self.score() } else { Score::ZERO };
        Node {
            id: number.to_string(),
            name: format!("n{number}"),
            kind: if self.trouble(10) { NodeKind::Ping } else { NodeKind::Member },
            score,
            attributes: attributes.sets(),
            utilization: utilization.sets(),
        }
    }

    fn node_state(&mut self, node: &Node) -> NodeState {
        let mut state = NodeState {
            id: node.id.clone(),
            name: (!self.trouble(20)).then(|| node.name.clone()),
            member: Some(1),
            process: Some(1),
            join: Some(JoinState::Member),
            expected_up: Some(true),
            ..NodeState::default()
        };
        let mut said = Values::default();
        match self.chance.below(1000) {
            _ if !self.trouble(400) => {}
            0..300 => {
                // It is lost.
                (state.member, state.process, state.join) = (Some(0), Some(0), Some(JoinState::Down));
            }
            300..550 => {
                // It left in order.
                (state.member, state.process, state.join) = (Some(0), Some(0), Some(JoinState::Down));
                state.expected_up = Some(false);
            }
            550..650 => {
                // It is on its way.
                state.member = Some(if self.chance.happens(500) { 1 } else { NOW - 300 });
                state.process = Some(i64::from(self.chance.happens(500)));
                state.join =
                    Some(if self.chance.happens(500) { JoinState::Down } else { JoinState::Pending });
                state.expected_up = Some(self.chance.happens(300));
            }
            650..750 => said.put("shutdown", &(NOW - 10)),
            750..800 => said.put("terminate", &"true"),
            800..850 => state.process = Some(0),
            850..900 => said.put("standby", &"on"),
            _ => self.strange(&mut state),
        }
        self.attributes(&mut said);
        state.attributes = said.sets();
        state
    }

    fn strange(&mut self, state: &mut NodeState) {
        let joins = [
            None,
            Some(JoinState::Member),
            Some(JoinState::Pending),
            Some(JoinState::Down),
            Some(JoinState::Banned),
        ];
        let numbers = [None, Some(0), Some(1)];
        state.member = numbers[self.chance.below(3)];
        state.process = numbers[self.chance.below(3)];
        state.join = joins[self.chance.below(5)];
        state.expected_up = [None, Some(false), Some(true)][self.chance.below(3)];
    }

    fn attributes(&mut self, said: &mut Values) {
        if self.rarely(100) && !self.calm {
            said.put("#health-disk", &self.chance.one_of(&["red", "yellow", "green", "-30", "7"]));
        }
        if self.chance.happens(200) {
            said.put("pingd", &(self.chance.between(0, 3) * 100));
        }
        if self.chance.happens(700) {
            said.put("#node-unfenced", &(NOW - 1000));
        }
        if self.trouble(20) {
            said.put("resource-discovery-enabled", &"false");
        }
    }

    /// A score that some node says of a resource that can be promoted.
    pub(super) fn say(&mut self, place: usize, name: &str, value: String) {
        let Some(node) = self.state.nodes.get_mut(place) else { return };
        if node.attributes.is_empty() {
            node.attributes.push(AttributeSet::default());
        }
        if let Some(said) = node.attributes.first_mut() {
            said.values.insert(name.to_owned(), value);
        }
    }
}
