// Count, mean and sum of squared deviations of some values, for each channel (Chan, Golub & LeVeque, 1979).
struct Moments { count: f32, mean: Vec, squares: Vec }

fn merge(a: Moments, b: Moments) -> Moments {
  let total = a.count + b.count;
  let share = b.count / max(total, 1.0);
  let delta = b.mean - a.mean;
  return Moments(total, a.mean + delta * share, a.squares + b.squares + delta * delta * (a.count * share));
}
