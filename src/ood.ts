/**
 * `energate/ood`: scores, calibration, metrics and evaluation on plain arrays, with no GPU. All of it is in `energate` too.
 */
export * from './errors.js';
export { Calibrator, type CalibratorState } from './ood/calibrator.js';
export {
  type Evaluation,
  type EvaluationInput,
  type EvaluationRow,
  evaluate,
  formatTable,
  type NetworkEvaluation,
  PROTOCOLS,
  type Protocol,
} from './ood/evaluate.js';
export {
  type AllMetrics,
  allMetrics,
  aupr,
  auroc,
  CONVENTIONS,
  type Convention,
  fpr95,
  type Metrics,
  metrics,
} from './ood/metrics.js';
export { Monitor, type MonitorState, type Tail } from './ood/monitor.js';
export type { Computer, ImageRows, Reduction, Rows } from './ood/rows.js';
export {
  energy,
  type FitInput,
  fitArrays,
  maxLogit,
  msp,
  SCORES,
  type Score,
  type ScoreInput,
  type ScoreOptions,
  type ScoreSettings,
  type Scoring,
  scoreArrays,
} from './ood/scores.js';
