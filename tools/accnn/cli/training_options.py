"""Command-line options of fine_tune.py, under the names of MXNet's classic scripts."""
from accnn.core.errors import AccnnError
from accnn.data.stream import Augmentation

# Optimizers whose memory is arrays and a count of updates, so that a resumed run is the same run.
OPTIMIZERS = ("sgd", "nag", "adam", "rmsprop", "adagrad", "adadelta", "signum")
MOST_EPOCHS = 9999
_MOST_CLASSES = 10 ** 6
_MOST = {"pad_size": 10000, "fill_value": 255, "max_random_h": 180, "max_random_s": 255, "max_random_l": 255,
         "max_random_rotate_angle": 360}
MOST_MIXUP = 100
CLIP = 10.0
SCHEDULES = ("constant", "step", "cosine", "poly")


def add_training_options(parser):
    """Options that say how long, how fast and by what rule."""
    group = parser.add_argument_group("training")
    add = group.add_argument
    add("--num-epochs", type=int, default=5, metavar="N", help="default: %(default)s")
    add_rule_options(group)
    add("--num-classes", type=int, metavar="N", help="give the network a new, random last layer with N classes")
    add("--seed", type=int, default=0, help="of order, augmentation, dropout, new layers (default: %(default)s)")


def add_rule_options(group):
    """Options that say how fast and by what rule, whatever the number of epochs."""
    add = group.add_argument
    add("--num-examples", type=int, metavar="N", help="images an epoch (default: all that fill a batch)")
    add("--lr", type=_rate, default=1e-5, metavar="RATE|auto",
        help="learning rate; auto: by a short test on a copy, in which it rises until the loss does (default: "
             "%(default)s)")
    add("--lr-schedule", choices=SCHEDULES, default=None,
        help="default: step with --lr-step-epochs, else constant; cosine and poly end at zero")
    add("--lr-step-epochs", type=_epochs, default=(), metavar="E,E", help="epochs after which the rate is multiplied")
    add("--lr-factor", type=float, default=0.1, help="by this (default: %(default)s)")
    add("--warmup-epochs", type=float, default=0.0, metavar="E", help="epochs in which the rate rises (default: 0)")
    add("--warmup-strategy", choices=("linear", "constant"), default="linear", help="default: %(default)s")
    add("--optimizer", choices=OPTIMIZERS, default="sgd", help="default: %(default)s")
    add("--mom", type=float, default=0.9, help="momentum of sgd, nag and signum (default: %(default)s)")
    add("--wd", type=float, default=1e-4, help="weight decay (default: %(default)s)")
    add("--clip-gradient", type=float, default=CLIP, metavar="NORM",
        help="shorten the gradient of all parameters together to this norm; 0: never (default: %(default)s)")
    add("--average", type=float, metavar="EPOCHS",
        help="score and write a running average of the weights over about so many epochs, with BatchNorm statistics "
             "estimated anew")
    add("--dropout", type=float, metavar="P",
        help="probability of every Dropout layer while training (default: the network's own, 0 with --mixup)")
    add("--freeze", action="append", default=[], metavar="PATTERN",
        help="leave these layers or parameters as they are, a name or a shell pattern; may be repeated")
    add("--output", metavar="NAME", help="the output to train, where there are several")


def add_data_options(parser):
    """Options that say which images are learnt from and which are scored, and how often a run is saved."""
    add = parser.add_argument
    add("--data-train", metavar="REC", help="RecordIO file of labelled images")
    add("--data-train-idx", metavar="IDX", help="its index (default: the .idx beside it, if any)")
    add("--data-unlabelled", metavar="REC",
        help="images for the teacher alone, in place of --data-train or beside it; their labels are not looked at")
    add("--data-unlabelled-idx", metavar="IDX", help="its index")
    add("--data-val", metavar="REC", help="images that are scored after every epoch, to know the best one")
    add("--data-val-idx", metavar="IDX", help="their index")
    add("--save-every", type=float, default=600.0, metavar="SECONDS",
        help="inside an epoch, save what --resume needs so often (default: %(default)s)")


def add_teacher_options(parser):
    """Options of a second network that teaches the first."""
    add = parser.add_argument_group("teacher").add_argument
    add("--teacher", metavar="PREFIX", help="checkpoint whose answers are learnt beside the labels")
    add("--teacher-epoch", type=int, metavar="N", help="its epoch")
    add("--distill-weight", type=float, metavar="W",
        help="its share of the loss, 0 to 1 (default: 0.9; 1 with --mixup or --data-unlabelled)")
    add("--teacher-mirror", type=_switch, default=False, metavar="0|1",
        help="learn the mean of its answers to an image and to the mirror image (default: %(default)d)")
    add("--mixup", type=float, default=0.0, metavar="A",
        help="blend images in pairs, by shares of Beta(A, A), for network and teacher alike: uniform at 1 (default: "
             "0, no)")
    add("--temperature", type=float, default=2.0, metavar="T",
        help="class scores are divided by it before the softmax (default: %(default)s)")


def add_augmentation_options(parser):
    """Random changes to training images."""
    add = parser.add_argument_group("augmentation").add_argument
    add("--random-crop", type=_switch, default=True, metavar="0|1", help="else from the middle (default: 1)")
    add("--random-mirror", type=_switch, default=True, metavar="0|1", help="default: 1")
    add("--pad-size", type=int, default=0, metavar="N", help="pixels added on every side before the crop (default: 0)")
    add("--fill-value", type=int, default=127, metavar="N", help="their value (default: %(default)s)")
    add("--max-random-h", type=int, default=0, metavar="N", help="change of hue, 0 to 180 (default: 0)")
    add("--max-random-s", type=int, default=0, metavar="N", help="of saturation, 0 to 255 (default: 0)")
    add("--max-random-l", type=int, default=0, metavar="N", help="of lightness, 0 to 255 (default: 0)")
    add("--max-random-rotate-angle", type=int, default=0, metavar="DEGREES", help="default: 0")
    add("--random-resized-crop", type=_switch, default=False, metavar="0|1", help="default: 0")
    add("--min-random-area", type=float, default=1.0, metavar="SHARE", help="of that crop (default: 1)")
    add("--max-random-area", type=float, default=1.0, metavar="SHARE", help="of that crop (default: 1)")
    add("--max-random-aspect-ratio", type=float, default=0.0, metavar="R", help="of that crop (default: 0)")


def augmentation(args):
    """Augmentation that the options describe."""
    return Augmentation(
        rand_crop=args.random_crop, rand_mirror=args.random_mirror, pad=args.pad_size, fill_value=args.fill_value,
        random_h=args.max_random_h, random_s=args.max_random_s, random_l=args.max_random_l,
        max_rotate_angle=args.max_random_rotate_angle, random_resized_crop=args.random_resized_crop,
        min_random_area=args.min_random_area, max_random_area=args.max_random_area,
        max_aspect_ratio=args.max_random_aspect_ratio)


def check(args):
    """Refuse values of fine_tune.py that make no sense.

    Raises
    ------
    AccnnError
    """
    _refuse(args.num_epochs < 1, "--num-epochs must be at least 1")
    _refuse(args.num_epochs > MOST_EPOCHS, "--num-epochs must be at most %d, as files of epochs have four digits"
            % MOST_EPOCHS)
    check_rule(args, args.num_epochs, "--num-epochs")
    _refuse(args.save_period < 1, "--save-period must be at least 1")
    _refuse(args.num_classes is not None and not 2 <= args.num_classes <= _MOST_CLASSES,
            "--num-classes must be from 2 to %d" % _MOST_CLASSES)
    _refuse(args.teacher and args.num_classes, "--num-classes gives other classes than the teacher knows: choose one")


def check_rule(args, epochs, said):
    """Refuse values that make no sense in any training of so many epochs, which `said` is the option of.

    Raises
    ------
    AccnnError
    """
    _refuse(args.num_examples is not None and args.num_examples < 1, "--num-examples must be at least 1")
    _refuse(args.lr is not None and not 0 < args.lr < float("inf"), "--lr must be above 0")
    _refuse(not 0 < args.lr_factor <= 1, "--lr-factor must be above 0 and at most 1")
    _refuse(not 0 <= args.warmup_epochs < epochs, "--warmup-epochs must be from 0 to less than %s" % said)
    _refuse(not 0 <= args.mom < 1, "--mom must be from 0 to less than 1")
    _refuse(not 0 <= args.wd < float("inf"), "--wd must be 0 or more")
    _refuse(args.dropout is not None and not 0 <= args.dropout < 1, "--dropout must be from 0 to less than 1")
    _refuse(not 0 <= args.seed < 2 ** 32, "--seed must be from 0 to 2^32 - 1")
    _refuse(not 0 <= args.save_every < float("inf"), "--save-every must be 0 or more")
    _check_matching(args)
    _refuse(not 0 <= args.clip_gradient < float("inf"), "--clip-gradient must be 0 or more")
    _refuse(args.average is not None and not 0 < args.average <= epochs,
            "--average must be above 0 and at most %s, the epochs there are to average" % said)
    _refuse(not 0.01 <= args.temperature <= 1000, "--temperature must be from 0.01 to 1000")
    _refuse(args.teacher is None and args.teacher_epoch is not None, "--teacher-epoch is about a teacher: give "
            "--teacher PREFIX")
    _refuse(args.lr_step_epochs and args.lr_schedule not in (None, "step"),
            "--lr-step-epochs belongs to --lr-schedule step")
    _refuse(args.lr_schedule == "step" and not args.lr_step_epochs, "--lr-schedule step needs --lr-step-epochs")
    _refuse(args.resume and args.force, "--resume goes on with a run and --force starts again: choose one")
    for option, most in _MOST.items():
        value = getattr(args, option)
        _refuse(not 0 <= value <= most, "--%s must be from 0 to %d" % (option.replace("_", "-"), most))
    _refuse(not 0 <= args.max_random_aspect_ratio < 1, "--max-random-aspect-ratio must be from 0 to less than 1")
    _refuse(not 0 < args.min_random_area <= args.max_random_area <= 1,
            "--min-random-area and --max-random-area must be above 0, at most 1, and in order")


def _check_matching(args):
    """Refuse what a teacher alone can answer where it is not alone, and fill in what follows."""
    _refuse(not (args.data_train or args.data_unlabelled), "there are no images to learn from: give --data-train REC, "
            "or --data-unlabelled REC with a --teacher")
    _refuse(not 0 <= args.mixup <= MOST_MIXUP, "--mixup must be from 0 to %d" % MOST_MIXUP)
    alone = [option for option, given in (("--mixup", args.mixup), ("--data-unlabelled", args.data_unlabelled))
             if given]
    if args.distill_weight is None:
        args.distill_weight = 1.0 if alone else 0.9
    _refuse(not 0 <= args.distill_weight <= 1, "--distill-weight must be from 0 to 1")
    _refuse(alone and not (args.teacher and args.distill_weight == 1),
            "%s is for images that a teacher alone answers, without labels: give --teacher PREFIX, and leave "
            "--distill-weight at 1" % " and ".join(alone))
    if args.mixup and args.dropout is None:
        args.dropout = 0.0


def _refuse(wrong, sentence):
    if wrong:
        raise AccnnError(sentence)


def _epochs(text):
    epochs = tuple(float(number) for number in text.split(",") if number.strip())
    if any(not 0 < epoch < float("inf") for epoch in epochs) or list(epochs) != sorted(set(epochs)):
        raise ValueError
    return epochs


def _switch(text):
    return {"0": False, "1": True}[text] if text in ("0", "1") else _wrong()


def _wrong():
    raise ValueError


def _rate(text):
    """float, or None for auto."""
    return None if text == "auto" else float(text)


_epochs.__name__, _switch.__name__, _rate.__name__ = "ascending epochs", "switch", "learning rate"
