import { type Images, subset } from '../data/image-set.js';
import { VALIDATION_FAMILIES, type ValidationFamily, validationOutliers } from '../data/validation-outliers.js';
import { UsageError } from '../errors.js';
import { CIFAR_PART, readImageSet } from '../node/images.js';
import { AVERAGE } from '../ood/evaluate.js';

/** What `--ood` is given, for its help text. */
export const OOD_HELP = `out-of-distribution images (${CIFAR_PART.test}) and what to call them; or a name alone, for images made from --in: ${VALIDATION_FAMILIES.join(', ')}`;

/** @throws UsageError where a set takes the name of the row of means */
export function requireOodNames(sets: ReadonlyMap<string, string>): void {
  if (sets.has(AVERAGE))
    throw new UsageError(`--ood ${AVERAGE}=.. takes the name of the row of means: give the set another`);
}

/**
 * The sets of `--ood`: files, and families made from the in-distribution images, a fifth as many.
 * @param sets paths by name; '' where the name is that of a family
 */
export async function readOodSets(
  sets: ReadonlyMap<string, string>,
  inDistribution: Images,
  { count, seed }: { count?: number | undefined; seed: number },
): Promise<Images[]> {
  const read: Images[] = [];
  for (const [name, path] of sets) {
    const set: Images =
      path === ''
        ? validationOutliers(name as ValidationFamily, inDistribution, {
            seed,
            count: Math.max(1, Math.floor(inDistribution.count / 5)),
          })
        : { ...(await readImageSet(path, { split: 'test' })), name };
    read.push(subset(set, 0, Math.min(set.count, count ?? set.count)));
  }
  return read;
}
