/** The clock for how long something lasts. */

/**
 * ms, with fractions, on a clock that only goes on; only differences mean something. Deadlines and intervals are measured
 * by it: a step of the system's clock (`Date.now`) would hold commits up for as long as it went back, and let time-outs come
 * as early as it went on. Kafka's `Time#hiResClockMs`.
 */
export function monotonicMs(): number {
  return performance.now();
}
