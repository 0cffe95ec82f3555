//! Failovers, told as stories over the simulated world.
//!
//! Each says above what happens, and below exactly what is heard of it: who runs what, and since
//! when. The claims of the simulator hold throughout; where one does not, the story is about that.

mod between;
mod clocks;
mod disks;
mod elections;
mod failover;
mod fences;
mod held;
mod levels;
mod lives;
mod logs;
mod pairs;
mod people;
mod pings;
mod said;
mod schedules;
mod sick;
mod starts;
mod storage;
mod switched;
mod told;
mod watchdogs;
