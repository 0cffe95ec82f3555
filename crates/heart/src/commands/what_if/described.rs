//! What a described cluster survives: the policy engine is asked.

use std::path::Path;

use heart_model::policy::Cluster;
use heart_scheduler::engine::{
    explain::{self, Because, Explanation, NodeTrouble},
    survive::{Loss, Survey},
};

use super::{Options, few_enough, in_parallel, simulate};
use crate::{
    failure::Failure,
    render::{self, Cause, Lost, Moved, Why},
};

/// All losses in their order, with the reasons for what stays down.
pub(super) fn losses(options: &Options, file: &Path) -> Result<Vec<Lost>, Failure> {
    let imported = simulate::described(file, options.now)?;
    let survey = Survey::new(&imported.cluster, &imported.state, options.enough());
    let wanted = survey.losses(!options.single);
    few_enough(&wanted)?;
    let losses = all(&survey, &wanted);
    Ok(losses.into_iter().map(|loss| told(loss, &imported.cluster)).collect())
}

fn all(survey: &Survey<'_>, wanted: &[Vec<String>]) -> Vec<Loss> {
    let mut losses = in_parallel(survey, wanted, |survey, nodes| survey.lose(nodes));
    let questions = survey.questions(&losses);
    let answers = in_parallel(survey, &questions, |survey, question| {
        let nodes = wanted.get(question.loss)?;
        survey.why(nodes, &question.resource)
    });
    for (question, answer) in questions.iter().zip(answers) {
        if let Some(loss) = losses.get_mut(question.loss) {
            loss.because.extend(answer);
        }
    }
    losses
}

fn told(loss: Loss, cluster: &Cluster) -> Lost {
    let because = loss.because.iter();
    let because = because.map(|explanation| why(explanation, &loss.nodes, loss.quorum, cluster)).collect();
    let moved = loss.moved.iter().cloned();
    Lost {
        survived: loss.is_survived(),
        quorum: loss.quorum,
        moved: moved.map(|(resource, from, to)| Moved { resource, from, to }).collect(),
        because,
        nodes: loss.nodes,
        down: loss.down,
        unpromoted: loss.unpromoted,
        fewer: loss.fewer,
    }
}

fn why(explanation: &Explanation, lost: &[String], quorum: bool, cluster: &Cluster) -> Why {
    // Without a majority that is the reason, and is said already; that a lost node is lost goes without saying.
    let goes_without_saying = |cause: &explain::Cause| match cause {
        explain::Cause::Node { node, trouble: NodeTrouble::Absent } => !quorum || lost.contains(node),
        _ => !quorum,
    };
    let causes = explanation
        .because
        .iter()
        .map(|because| Cause { is_said: !goes_without_saying(&because.cause), ..cause(because, cluster) });
    Why {
        resource: explanation.resource.clone(),
        together: explanation.together,
        more: explanation.cut,
        causes: causes.collect(),
    }
}

fn cause(because: &Because, cluster: &Cluster) -> Cause {
    use explain::Cause as C;
    let (kind, name, resource, node) = match &because.cause {
        C::Constraint { id, .. } => ("constraint", Some(id), None, None),
        C::Node { node, .. } => ("node", None, None, Some(node)),
        C::Quorum => ("quorum", None, None, None),
        C::ResourceOption { resource, name } => ("option", Some(name), Some(resource), None),
        C::Default { name } => ("default", Some(name), None, None),
        C::ClusterOption { name } => ("cluster-option", Some(name), None, None),
        C::Failed { resource, node } => ("failure", None, Some(resource), Some(node)),
        C::Active { resource, node } => ("activity", None, Some(resource), Some(node)),
        C::Ticket { ticket } => ("ticket", Some(ticket), None, None),
        C::Changed { resource, node } => ("change", None, Some(resource), Some(node)),
        C::PromotionScore { resource, node } => ("promotion-score", None, Some(resource), Some(node)),
        C::Needs { resource } => ("needs", None, Some(resource), None),
    };
    let trouble = match &because.cause {
        C::Node { trouble: NodeTrouble::Standby, .. } => Some("standby"),
        C::Node { trouble: NodeTrouble::Maintenance, .. } => Some("maintenance"),
        C::Node { trouble: NodeTrouble::Absent, .. } => Some("absent"),
        C::Node { trouble: NodeTrouble::Health, .. } => Some("health"),
        _ => None,
    };
    Cause {
        kind,
        name: name.cloned(),
        resource: resource.cloned(),
        node: node.cloned(),
        reason: None,
        is_said: true,
        trouble,
        text: render::cause(&because.cause, cluster),
        otherwise: because.otherwise.iter().map(|(node, _)| node.clone()).collect(),
    }
}
