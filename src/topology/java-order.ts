/**
 * The orders that Java's collections give names, for `describe()` to be equal to the letter: HashSet and HashMap iterate
 * by bucket, TreeSet keeps the place that a comparison gave when an element was added. Mirrors java.util as of Java 17,
 * but for buckets of eight and more, which become trees there: with a bucket for each name there are none.
 */

/** `String.hashCode`, spread as HashMap does. */
function spreadHash(text: string): number {
  let hash = 0;
  for (let i = 0; i < text.length; i++) hash = (31 * hash + text.charCodeAt(i)) | 0;
  return hash ^ (hash >>> 16);
}

/** The order of `new HashSet<>()` after adding the names one by one. */
export function hashOrder(names: readonly string[]): string[] {
  const distinct = [...new Set(names)];
  let capacity = 16;
  while (distinct.length > capacity * 0.75) capacity *= 2;
  return bucketOrder(distinct, capacity);
}

/** The order of `new HashSet<>(names)`, whose table is made for their number. */
export function hashCopyOrder(names: readonly string[]): string[] {
  const wanted = Math.max(Math.trunc(Math.fround(names.length / 0.75)) + 1, 16);
  let capacity = 16;
  while (capacity < wanted) capacity *= 2;
  return bucketOrder([...new Set(names)], capacity);
}

/** Within a bucket entries stand as they came; growing keeps that. */
function bucketOrder(names: readonly string[], capacity: number): string[] {
  const bucket = (name: string): number => spreadHash(name) & (capacity - 1);
  return names
    .map((name) => [bucket(name), name] as const)
    .sort(([a], [b]) => a - b)
    .map(([, name]) => name);
}

interface TreeNode<T> {
  readonly value: T;
  parent: TreeNode<T> | undefined;
  left: TreeNode<T> | undefined;
  right: TreeNode<T> | undefined;
  red: boolean;
}

/**
 * `TreeSet` for adding and iterating. The comparison may change its mind between calls, as that of `describe()` does: where
 * an element ends up depends on the tree's shape, so the rebalancing is TreeMap's.
 */
export class JavaTreeSet<T> {
  readonly #compare: (a: T, b: T) => number;
  #root: TreeNode<T> | undefined;

  /** @param compare 0 for one element only, compared with itself */
  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  add(value: T): void {
    let parent: TreeNode<T> | undefined;
    let left = false;
    for (let at = this.#root; at !== undefined; at = left ? at.left : at.right) {
      const order = this.#compare(value, at.value);
      if (order === 0) return;
      parent = at;
      left = order < 0;
    }
    const node: TreeNode<T> = { value, parent, left: undefined, right: undefined, red: true };
    if (parent === undefined) this.#root = node;
    else if (left) parent.left = node;
    else parent.right = node;
    this.#rebalance(node);
  }

  /** In order. */
  values(): T[] {
    const found: T[] = [];
    const walk = (node: TreeNode<T> | undefined): void => {
      if (node === undefined) return;
      walk(node.left);
      found.push(node.value);
      walk(node.right);
    };
    walk(this.#root);
    return found;
  }

  /** `TreeMap#fixAfterInsertion`, both sides in one. */
  #rebalance(added: TreeNode<T>): void {
    let node = added;
    while (node.parent?.red === true) {
      const grandparent = node.parent.parent!;
      const parentIsLeft = node.parent === grandparent.left;
      const uncle = parentIsLeft ? grandparent.right : grandparent.left;
      if (uncle?.red === true) {
        node.parent.red = false;
        uncle.red = false;
        grandparent.red = true;
        node = grandparent;
        continue;
      }
      if (node === (parentIsLeft ? node.parent.right : node.parent.left)) {
        node = node.parent;
        this.#rotate(node, parentIsLeft);
      }
      node.parent!.red = false;
      grandparent.red = true;
      this.#rotate(grandparent, !parentIsLeft);
    }
    this.#root!.red = false;
  }

  #rotate(node: TreeNode<T>, toLeft: boolean): void {
    const up = (toLeft ? node.right : node.left)!;
    const moved = toLeft ? up.left : up.right;
    if (toLeft) node.right = moved;
    else node.left = moved;
    if (moved !== undefined) moved.parent = node;
    up.parent = node.parent;
    if (node.parent === undefined) this.#root = up;
    else if (node.parent.left === node) node.parent.left = up;
    else node.parent.right = up;
    if (toLeft) up.left = node;
    else up.right = node;
    node.parent = up;
  }
}
