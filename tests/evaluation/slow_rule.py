"""The rule of evaluation written out in loops: slow and obvious. Tests and benchmarks/evaluator.py compare with it."""


def slow_average_precision(scores, right, relevant):
    """Walks down the thresholds: recall gained times precision there."""
    total, found_before = 0.0, 0
    for threshold in sorted(set(scores), reverse=True):
        answers = [r for s, r in zip(scores, right, strict=True) if s >= threshold]
        total += (sum(answers) - found_before) / relevant * (sum(answers) / len(answers))
        found_before = sum(answers)
    return total


def slow_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_search(benchmark, found, embeddings, rules):
    """The common rule as the field's codes spell it: scene after scene, sorted, the first that overlaps."""
    by_name = {one.name: one for one in benchmark.test}
    precisions, ranks = [], []
    for query, embedding in zip(benchmark.queries, embeddings.double(), strict=True):
        scores, right, relevant = [], [], 0
        for name in dict.fromkeys(query.gallery):
            if name == query.scene and not rules.own_scene:
                continue
            answers = []
            for box, score, other in zip(found[name].boxes, found[name].scores, found[name].embeddings, strict=True):
                if score >= rules.score_threshold:
                    answers.append((round(float(other.double() @ embedding), 10), box.tolist()))
            answers.sort(key=lambda answer: -answer[0])
            truth = [p.box for p in by_name[name].persons if p.identity == query.identity]
            others = [box for box in truth if box != query.box]
            if name == query.scene and others:  # the protocol then means another box of the person
                truth = others
            relevant += len(truth) * (query.gallery.count(name) if rules.count_repeats else 1)
            labels = [False] * len(answers)
            for box in truth:
                w, h = box[2] - box[0], box[3] - box[1]
                threshold = min(rules.iou, w * h / ((w + rules.iou_margin) * (h + rules.iou_margin)))
                for index, (_, guess) in enumerate(answers):
                    if slow_iou(box, guess) >= threshold:
                        labels[index] = True
                        break
            scores += [similarity for similarity, _ in answers]
            right += labels
        if not relevant:
            precisions.append(None)
            ranks.append(None)
            continue
        precisions.append(slow_average_precision(scores, right, relevant))
        ranking = sorted(zip(scores, right, strict=True), key=lambda pair: (-pair[0], pair[1]))
        ranks.append(next((place for place, (_, hit) in enumerate(ranking, 1) if hit), None))
    return precisions, ranks
