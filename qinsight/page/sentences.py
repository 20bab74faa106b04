"""What the package says, such as why a file is no photo, in Chinese and Japanese.

The package is not the place for three languages: a `Sentence` is found here by its template. What is finished English,
such as what a server says or what an earlier version wrote into a file, is shown as it is.
"""

from qinsight.sentence import Sentence

# The English template: (Chinese, Japanese), with the same fields in each.
SENTENCES = {
    # the file
    "expected a photo, got an empty file; copy or export it once more": (
        "这是一个空文件；请重新复制或导出照片。",
        "空のファイルです。もう一度コピーするか書き出してください。",
    ),
    "expected a file of at most {most} MB, got a larger one; save the photo as a JPEG": (
        "文件超过 {most} MB；请将照片另存为 JPEG。",
        "ファイルが {most} MB を超えています。JPEG で保存し直してください。",
    ),
    "expected a photo, got a folder; name one photo in it": (
        "这是一个文件夹；请选择其中的一张照片。",
        "フォルダーです。中の写真を 1 枚選んでください。",
    ),
    "expected a photo, but there is no such file; check its name": (
        "没有这个文件；请检查文件名。",
        "そのファイルはありません。名前を確認してください。",
    ),
    "expected a photo, but this file may not be read; check its permissions": (
        "没有读取此文件的权限；请检查权限设置。",
        "このファイルを読む権限がありません。アクセス権を確認してください。",
    ),
    "expected a photo, but this file cannot be opened; check its name": (
        "无法打开此文件；请检查文件名。",
        "このファイルを開けません。名前を確認してください。",
    ),
    "expected a photo, but the file cannot be read; copy it to this computer first": (
        "无法读取此文件；请先将其复制到本机。",
        "ファイルを読み込めません。先にこのコンピューターへコピーしてください。",
    ),
    "expected a photo file, got a pipe or a device; save the photo to a file first": (
        "这是管道或设备，不是文件；请先将照片保存为文件。",
        "パイプまたはデバイスです。先に写真をファイルに保存してください。",
    ),
    "expected a photo, got {name}; export it as JPEG, PNG or WebP": (
        "这不是照片，而是{name}；请导出为 JPEG、PNG 或 WebP。",
        "写真ではなく{name}です。JPEG、PNG または WebP で書き出してください。",
    ),
    "expected a photo, got a file of another kind; try JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF": (
        "这不是照片文件；请使用 JPEG、PNG、WebP、TIFF、GIF、BMP 或 AVIF。",
        "写真のファイルではありません。JPEG、PNG、WebP、TIFF、GIF、BMP、AVIF をお試しください。",
    ),
    "expected a JPEG of at most {most} scans, got one with more; save it again as a JPEG": (
        "此 JPEG 的扫描次数超过 {most}；请重新保存为 JPEG。",
        "この JPEG はスキャン数が {most} を超えています。JPEG で保存し直してください。",
    ),
    "expected a complete JPEG file, got one that is damaged; export it once more": (
        "此 JPEG 文件已损坏；请重新导出。",
        "この JPEG ファイルは壊れています。もう一度書き出してください。",
    ),
    "expected a photo, got a TIFF with only a reduced preview in it; export it again": (
        "此 TIFF 中只有缩小的预览图；请重新导出。",
        "この TIFF には縮小プレビューしか入っていません。書き出し直してください。",
    ),
    "expected JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF, got a {kind} photo; run `pip install {package}`, or export it as a JPEG": (
        "此处无法读取 {kind} 照片；请运行 `pip install {package}`，或导出为 JPEG。",
        "ここでは {kind} を読み込めません。`pip install {package}` を実行するか、JPEG で書き出してください。",
    ),
    "expected a complete {kind} file, got one that is damaged, cut short or of a rare kind; export it once more": (
        "此 {kind} 文件已损坏、不完整或格式少见；请重新导出。",
        "この {kind} ファイルは壊れているか、途中で切れているか、特殊な形式です。もう一度書き出してください。",
    ),
    "expected a camera RAW file that LibRaw can read, got one it cannot; export the photo as a JPEG": (
        "LibRaw 无法读取此相机 RAW 文件；请导出为 JPEG。",
        "この RAW ファイルは LibRaw で読み込めません。JPEG で書き出してください。",
    ),
    "expected a TIFF of 8 or 16 bits, got one of signed or floating-point numbers; export it again": (
        "只支持 8 位或 16 位 TIFF，此文件为有符号数或浮点数；请重新导出。",
        "TIFF は 8 または 16 ビットに限ります。符号付きまたは浮動小数点のようです。書き出し直してください。",
    ),
    "expected a TIFF with interleaved colours, got separate 16-bit planes; export it again": (
        "此 TIFF 的 16 位颜色通道分开存储；请以交错方式重新导出。",
        "この TIFF は 16 ビットの色が面ごとに分かれています。書き出し直してください。",
    ),
    # its size
    "expected at most {most} megapixels, got {width} x {height}; save a smaller copy": (
        "照片为 {width} × {height}，超过 {most} 百万像素；请保存较小的副本。",
        "写真は {width} × {height} で、{most} メガピクセルを超えています。小さくして保存してください。",
    ),
    "expected at most {most} megapixels, got {width} x {height}; export the photo as a smaller JPEG": (
        "照片为 {width} × {height}，超过 {most} 百万像素；请导出为较小的 JPEG。",
        "写真は {width} × {height} で、{most} メガピクセルを超えています。小さな JPEG で書き出してください。",
    ),
    "expected a photo of fewer pixels; save a smaller copy": (
        "照片像素过多；请保存较小的副本。",
        "写真の画素数が多すぎます。小さくして保存してください。",
    ),
    "expected a photo that fits in memory, got a larger one; save a smaller copy": (
        "照片太大，内存不足；请保存较小的副本。",
        "写真が大きすぎてメモリーに収まりません。小さくして保存してください。",
    ),
    "expected a photo of at least {least} x {least} pixels, got {width} x {height}": (
        "照片为 {width} × {height}，至少需要 {least} × {least} 像素。",
        "写真は {width} × {height} です。{least} × {least} 画素以上が必要です。",
    ),
    "expected a shape of at most {most}:1, got {width} x {height}; crop it first": (
        "照片为 {width} × {height}，长宽比超过 {most}:1；请先裁剪。",
        "写真は {width} × {height} で、縦横比が {most}:1 を超えています。先に切り抜いてください。",
    ),
    "expected a photo that can be read within {seconds:g} seconds, got one that needs more or is damaged; save it again as an ordinary JPEG": (
        "照片无法在 {seconds:g} 秒内读取，或已损坏；请重新保存为普通 JPEG。",
        "写真を {seconds:g} 秒以内に読み込めないか、壊れています。通常の JPEG で保存し直してください。",
    ),
    "expected a photo that can be read within {seconds:g} seconds and {memory} MB of memory, got one that needs more or is damaged; save it again as an ordinary JPEG": (
        "照片无法在 {seconds:g} 秒和 {memory} MB 内存内读取，或已损坏；请重新保存为普通 JPEG。",
        "写真を {seconds:g} 秒、{memory} MB のメモリーで読み込めないか、壊れています。通常の JPEG で保存し直してください。",
    ),
    # what kind of file it is, inside other sentences
    "a JPEG XL photo": (" JPEG XL 照片", " JPEG XL 画像"),
    "a JPEG 2000 photo": (" JPEG 2000 照片", " JPEG 2000 画像"),
    "a Photoshop document": (" Photoshop 文档", " Photoshop ファイル"),
    "a GIMP document": (" GIMP 文档", " GIMP ファイル"),
    "a PDF": (" PDF", " PDF "),
    "a PostScript drawing": (" PostScript 图形", " PostScript の図形"),
    "an SVG drawing": (" SVG 图形", " SVG の図形"),
    "a web page": ("网页", "ウェブページ"),
    "an icon": ("图标", "アイコン"),
    "an HDR image": (" HDR 图像", " HDR 画像"),
    "a Netpbm image": (" Netpbm 图像", " Netpbm 画像"),
    "a video": ("视频", "動画"),
    "an archive": ("压缩包", "書庫ファイル"),
    # remarks about a photo
    "first of several frames": ("多帧中的第一帧", "複数フレームの最初"),
    "first of {count} frames": ("共 {count} 帧，取第一帧", "{count} フレームの最初"),
    "RAW: embedded preview rated": ("RAW：评估内嵌预览图", "RAW：内蔵プレビューを評価"),
    "RAW: developed, with automatic brightness": ("RAW：已显影，自动亮度", "RAW：現像済み、明るさは自動"),
    "colour profile {name} converted": ("已转换色彩配置文件 {name}", "カラープロファイル {name} を変換"),
    "colour profile unusable, taken as sRGB": (
        "色彩配置文件不可用，按 sRGB 处理",
        "カラープロファイルが使えないため sRGB とみなす",
    ),
    "colour chunk {chunk} damaged, ignored": (
        "颜色数据块 {chunk} 已损坏，已忽略",
        "色チャンク {chunk} は壊れているため無視",
    ),
    "{colours} colours are not converted": ("{colours} 色彩未转换", "{colours} の色は変換していない"),
    "without a name": ("无名称", "名前なし"),
    "narrow-range": ("窄范围", "狭い範囲"),
    "gamma {gamma:.4g} and primaries of its own": (
        "伽马 {gamma:.4g}（自带原色）",
        "ガンマ {gamma:.4g}（独自の原色）",
    ),
    "gamma {gamma:.4g}": ("伽马 {gamma:.4g}", "ガンマ {gamma:.4g}"),
    # uploads
    "this upload has expired; please upload the photo again": (
        "上传的照片已过期；请重新上传。",
        "アップロードの期限が切れました。もう一度アップロードしてください。",
    ),
    # how far an answer can be trusted
    "Expected at least {least} labelled photographs that the model could rate, got {number}; of fewer, no interval is honest.": (
        "至少需要 {least} 张模型能评分且带标注的照片，只有 {number} 张；更少则区间不可信。",
        "モデルが評価できたラベル付きの写真が {least} 枚以上必要ですが、{number} 枚です。これより少ないと区間は正直ではありません。",
    ),
    "This calibration is of other weights: {mine}, and {theirs} answers.": (
        "此校准属于另一套权重：{mine}，而作答的是 {theirs}。",
        "この較正は別の重み {mine} のものですが、答えるのは {theirs} です。",
    ),
    "This calibration is of weights held in {mine}, and they are held in {theirs} now.": (
        "此校准所用权重的精度为 {mine}，现在为 {theirs}。",
        "この較正の重みの精度は {mine} ですが、いまは {theirs} です。",
    ),
    "This calibration is of photos rated at up to {mine} pixels, and they are rated at {theirs} now.": (
        "此校准的照片按至多 {mine} 像素评分，现在为 {theirs}。",
        "この較正の写真は最大 {mine} 画素で評価したものですが、いまは {theirs} 画素です。",
    ),
    "The calibration cannot be written to {path}: {cause}.": (
        "校准无法写入 {path}：{cause}。",
        "較正を {path} に書き込めません：{cause}。",
    ),
    "Expected a calibration written by `calibrate` in {path}; it cannot be read ({error}).": (
        "{path} 应为 `calibrate` 写出的校准文件，但无法读取（{error}）。",
        "{path} は `calibrate` が書いた較正のはずですが、読み込めません（{error}）。",
    ),
    "Expected a share above 0 and below 0.5 as the bound on what may be wrong, got {share:g}.": (
        "允许出错的比例应大于 0 且小于 0.5，而不是 {share:g}。",
        "誤ってよい割合は 0 より大きく 0.5 未満のはずですが、{share:g} です。",
    ),
    "Expected a rating above 1 and up to 5 from which a photo is good, got {rating:g}.": (
        "视为合格的起始评分应大于 1 且不超过 5，而不是 {rating:g}。",
        "良い写真とみなす評価は 1 より大きく 5 以下のはずですが、{rating:g} です。",
    ),
    # what was measured, beside what the model claims
    "{found}: {claim} ({measured})": ("{found}：{claim}（{measured}）", "{found}：{claim}（{measured}）"),
    "Of {count} claims that can be measured the pixels support {yes} and contradict {no}.": (
        "在 {count} 项可测量的说法中，像素支持 {yes} 项，反对 {no} 项。",
        "測れる {count} 件の主張のうち、画素は {yes} 件を裏付け、{no} 件と食い違います。",
    ),
    "no flat place to measure noise in, {specks:.1%} specks": (
        "没有可测噪声的平坦处，斑点 {specks:.1%}",
        "ノイズを測れる平らな所がない、斑点 {specks:.1%}",
    ),
    "noise {level:.1f} of 255 in flat places, {specks:.1%} specks; the stillest vary by {unrest:.1f} (over 0.6: smoothed noise may hide)": (
        "平坦处噪声 {level:.1f}（满 255），斑点 {specks:.1%}；最平静处起伏 {unrest:.1f}（超过 0.6 时可能藏有被平滑的噪声）",
        "平らな所のノイズ {level:.1f}（255 中）、斑点 {specks:.1%}、最も静かな所の揺らぎ {unrest:.1f}（0.6 を超えると、ならされたノイズが隠れうる）",
    ),
    "8 x 8 grid {level:.2f} (0.07 and more: blocks)": (
        "8 × 8 网格 {level:.2f}（0.07 以上为方块）",
        "8 × 8 の格子 {level:.2f}（0.07 以上はブロック）",
    ),
    "no edge to measure sharpness at": ("没有可测锐度的边缘", "鮮鋭さを測れる輪郭がない"),
    "the strongest edges rise {rise:.0%} of their height in a pixel (under 31%: soft)": (
        "最硬的边缘在一个像素内上升其高度的 {rise:.0%}（低于 31% 为柔）",
        "最も硬い輪郭は 1 画素で高さの {rise:.0%} 上がる（31% 未満は甘い）",
    ),
    "mean luminance {mean:.0%}, bright parts {light:.0%}": (
        "平均亮度 {mean:.0%}，亮处 {light:.0%}",
        "平均輝度 {mean:.0%}、明るい所 {light:.0%}",
    ),
    "{share:.1%} of the pixels are clipped at white": (
        "{share:.1%} 的像素溢出为白",
        "画素の {share:.1%} が白とび",
    ),
    "{share:.1%} of the pixels are nearly black": (
        "{share:.1%} 的像素接近全黑",
        "画素の {share:.1%} がほぼ黒",
    ),
    "from dark to bright {range:.0%} of the range": (
        "从暗到亮占全范围的 {range:.0%}",
        "暗から明まで全範囲の {range:.0%}",
    ),
    "neither noise, blocks, blur nor darkness measured": (
        "未测得噪声、方块、模糊或昏暗",
        "ノイズ、ブロック、ぼけ、暗さのいずれも測定されず",
    ),
    # where in the photo
    "expected at least {least} x {least} pixels for a map of places, got {width} x {height}": (
        "要细看各处，照片至少需 {least} × {least} 像素，而它是 {width} × {height}",
        "細部を見るには {least} × {least} 画素以上が必要ですが、{width} × {height} です",
    ),
    "sharpest here: {place}, {x},{y} (edges rise {value:.0%} in a pixel)": (
        "此处最清晰：{place}，{x},{y}（边缘在一个像素内上升 {value:.0%}）",
        "最も鮮鋭な所：{place}、{x},{y}（輪郭が 1 画素で {value:.0%} 上がる）",
    ),
    "noisiest here: {place}, {x},{y} (noise {value:.1f} of 255)": (
        "此处噪声最多：{place}，{x},{y}（噪声 {value:.1f}，满 255）",
        "最もノイズの多い所：{place}、{x},{y}（255 中 {value:.1f}）",
    ),
    "no place where noise can be seen": ("未见有噪声之处", "ノイズの見える所はない"),
    "rated lowest here: {place}, {x},{y} ({value:.2f})": (
        "此处评分最低：{place}，{x},{y}（{value:.2f}）",
        "評価が最も低い所：{place}、{x},{y}（{value:.2f}）",
    ),
    "upper left": ("左上", "左上"),
    "upper middle": ("上方中间", "上の中央"),
    "upper right": ("右上", "右上"),
    "middle left": ("左侧", "左"),
    "centre": ("中央", "中央"),
    "middle right": ("右侧", "右"),
    "lower left": ("左下", "左下"),
    "lower middle": ("下方中间", "下の中央"),
    "lower right": ("右下", "右下"),
    # a tournament
    "Expected {least} to {most} frames for a tournament, got {count}.": (
        "淘汰赛需要 {least} 至 {most} 张照片，现有 {count} 张。",
        "トーナメントには {least}～{most} 枚が必要ですが、{count} 枚です。",
    ),
    "Cannot tell: no pair has two replies that can be read.": (
        "无法判断：没有一对照片的两个回答都能解读。",
        "判定できません：両方の回答を読める組がありません。",
    ),
    "Expected at least {least} photos that can be read, got {count}.": (
        "至少需要 {least} 张可读取的照片，现有 {count} 张。",
        "読み込める写真が {least} 枚以上必要ですが、{count} 枚です。",
    ),
    "{name}: {error}": ("{name}：{error}", "{name}：{error}"),
    "{name} is the best.": ("{name} 最好。", "{name} が最も良い。"),
    "Cannot tell: the model changed its mind whenever two photos changed places.": (
        "无法判断：两张照片一换位置，模型就改变主意。",
        "判定できません：2 枚の順を入れ替えるたびにモデルの判断が変わりました。",
    ),
    "Cannot tell which is the best of {names}.": (
        "无法判断 {names} 中哪张最好。",
        "{names} のうちどれが最も良いか判定できません。",
    ),
    "Asked {asked} pairs in both orders, of at most {most}; strengths are log-odds beside the mean frame, the intervals hold 95 in 100.": (
        "以两种顺序问了 {asked} 对，最多 {most} 对；强度为相对平均的对数几率，区间在 100 次中有 95 次成立。",
        "{asked} 組を両方の順で尋ねました（最大 {most} 組）。強さは平均のコマに対する対数オッズ、区間は 100 回に 95 回成り立ちます。",
    ),
    "{one} | {other}: {error}": ("{one} | {other}：{error}", "{one} | {other}：{error}"),
    "In a circle: {one} is better than {other}, that than {third}, and that than {one}.": (
        "循环：{one} 胜过 {other}，{other} 胜过 {third}，{third} 又胜过 {one}。",
        "循環：{one} は {other} より、{other} は {third} より、{third} は {one} より良いとされました。",
    ),
    "; {count} could not be read": ("；{count} 对无法解读", "、{count} 組は読み取れず"),
    "Order: no pair was answered in both orders{unread}.": (
        "顺序：没有一对在两种顺序下都得到回答{unread}。",
        "順序：両方の順で答えのあった組がありません{unread}。",
    ),
    "Order: {agree} of {pairs} pairs agree in both orders ({interval}), {first} went to the photo shown first, {second} to the second{mixed}{unread}. {preference}": (
        "顺序：{pairs} 对中有 {agree} 对在两种顺序下一致（{interval}），{first} 对判给先看的照片，{second} 对判给后看的{mixed}{unread}。{preference}",
        "順序：{pairs} 組のうち {agree} 組は両方の順で一致（{interval}）、{first} 組は先に見た写真、{second} 組は後に見た写真{mixed}{unread}。{preference}",
    ),
    ", {count} to similar in one order only": (
        "，{count} 对仅在一种顺序下判为相当",
        "、{count} 組は片方の順でだけ同程度",
    ),
    "A preference for first or second is not shown.": (
        "未见对先后位置的偏好。",
        "先か後かの好みは見られません。",
    ),
    "The model prefers the photo shown first: {interval} of those that its place decided.": (
        "模型偏好先看的照片：由位置决定的之中占 {interval}。",
        "モデルは先に見た写真を好みます：位置で決まったうち {interval}。",
    ),
    "The model prefers the photo shown second: {interval} of those that its place decided.": (
        "模型偏好后看的照片：由位置决定的之中占 {interval}。",
        "モデルは後に見た写真を好みます：位置で決まったうち {interval}。",
    ),
    "{low:.0f} to {high:.0f} in 100": (
        "100 次中 {low:.0f} 至 {high:.0f} 次",
        "100 回に {low:.0f}～{high:.0f} 回",
    ),
    # the reply
    'Expected "Image A", "Image B" or "Similar"; the model said {said}.': (
        "应回答 “Image A”、“Image B” 或 “Similar”；模型说的是 {said}。",
        "「Image A」「Image B」「Similar」のいずれかを求めましたが、モデルは {said} と答えました。",
    ),
    "Expected a {name} out of {expected} or null; the model said {said}.": (
        "{name} 应为 {expected} 或 null；模型说的是 {said}。",
        "{name} は {expected} または null のはずですが、モデルは {said} と答えました。",
    ),
    "Expected a distortion with its severity, or null for both; the model said {kind} with severity {severity}.": (
        "失真类型与严重程度应同时给出或同为 null；模型说的是 {kind} 和 {severity}。",
        "劣化とその程度の両方、または両方 null を求めましたが、モデルは {kind} と {severity} を答えました。",
    ),
    'Expected one "distortion_class" and one "severity"; the model said {said}.': (
        "应有一个 “distortion_class” 和一个 “severity”；模型说的是 {said}。",
        "「distortion_class」と「severity」を 1 つずつ求めましたが、モデルは {said} と答えました。",
    ),
    "Expected an answer inside <answer> tags; the reply ends with {end}.": (
        "答案应在 <answer> 标签内；回答的结尾是 {end}。",
        "<answer> タグの中に回答があるはずですが、返答は {end} で終わっています。",
    ),
    "Expected an answer inside the <answer> tags; they are empty.": (
        "<answer> 标签内没有答案。",
        "<answer> タグの中が空です。",
    ),
    "Expected a finished answer on the table; assess a photo first.": (
        "还没有完成的回答；请先评估一张照片。",
        "完了した回答がありません。先に写真を評価してください。",
    ),
    "Expected one answer; the model gave several: {said}.": (
        "只应有一个答案；模型给出了多个：{said}。",
        "回答は 1 つのはずですが、モデルは複数答えました：{said}。",
    ),
    'Expected one "{key}"; the model gave {said}.': (
        "“{key}” 只应有一个；模型给出了 {said}。",
        "「{key}」は 1 つのはずですが、モデルは {said} を答えました。",
    ),
    'Expected the key "{wanted}"; the model said {said}.': (
        "答案中缺少 “{wanted}”；模型说的是 {said}。",
        "回答に「{wanted}」がありません。モデルは {said} と答えました。",
    ),
    "Expected a rating from 1 to 5; the model said {said}.": (
        "评分应在 1 到 5 之间；模型说的是 {said}。",
        "1 から 5 の評価を求めましたが、モデルは {said} と答えました。",
    ),
    "Expected one rating from 1 to 5; the model said {said}.": (
        "应只有一个 1 到 5 的评分；模型说的是 {said}。",
        "1 から 5 の評価を 1 つ求めましたが、モデルは {said} と答えました。",
    ),
    "The reply was cut after {tokens} tokens, before its answer. {error}": (
        "回答在 {tokens} 个词元后被截断，尚未给出答案。{error}",
        "返答は {tokens} トークンで打ち切られ、回答に届きませんでした。{error}",
    ),
    # the verdict
    "Too close, or order-dependent: the model changed its mind when the photos changed places.": (
        "太接近，或取决于顺序：交换照片位置后，模型改变了看法。",
        "僅差、または順序による違い：写真を入れ替えるとモデルの判断が変わりました。",
    ),
    "About equally good, in both orders.": ("两种顺序下质量都相近。", "どちらの順序でも同程度の画質です。"),
    "About equally good, against the reference.": (
        "与参考照片相比，质量相近。",
        "参照写真に対して同程度の画質です。",
    ),
    "Photo {letter} is better, in both orders.": (
        "照片 {letter} 更好，两种顺序一致。",
        "写真 {letter} の方が良い（どちらの順序でも）。",
    ),
    "Photo {letter} is better, against the reference.": (
        "与参考照片相比，照片 {letter} 更好。",
        "参照写真に対して、写真 {letter} の方が良い。",
    ),
    # the model
    "Stopped.": ("已停止。", "停止しました。"),
    "Stopped while the photo was being read.": (
        "读取照片时已停止。",
        "写真の読み込み中に停止しました。",
    ),
    "The model fell silent before its reply was finished. Ask again.": (
        "模型没有说完就中断了，请再试一次。",
        "モデルの返答が途中で途切れました。もう一度お試しください。",
    ),
    "The model ran out of memory on this photo. Try a smaller --max-pixels or --precision nf4.": (
        "处理此照片时内存不足。请用更小的 --max-pixels 或 --precision nf4。",
        "この写真でメモリーが不足しました。--max-pixels を小さくするか --precision nf4 をお試しください。",
    ),
    "The model could not be loaded.": ("模型无法加载。", "モデルを読み込めませんでした。"),
    "The model could not be loaded ({kind}). The terminal says more.": (
        "模型无法加载（{kind}），详情见终端。",
        "モデルを読み込めませんでした（{kind}）。詳しくは端末をご覧ください。",
    ),
    "The model ran out of memory on this photo. Try a smaller copy.": (
        "处理此照片时内存不足，请用较小的副本。",
        "この写真でメモリーが不足しました。小さくした写真をお試しください。",
    ),
    "The model crashed on this question and is being loaded again. Ask again in a minute.": (
        "模型在处理时崩溃，正在重新加载，请一分钟后再试。",
        "モデルが処理中に停止し、読み込み直しています。1 分ほど後にもう一度お試しください。",
    ),
    "There is too little memory for this photo. Try a smaller copy.": (
        "内存不足，无法处理这张照片，请用较小的副本。",
        "メモリが足りず、この写真を処理できません。小さくした写真をお試しください。",
    ),
    "No GPU can be had from Hugging Face at the moment. Ask again in a minute.": (
        "目前无法从 Hugging Face 获得 GPU。请一分钟后再试。",
        "現在 Hugging Face の GPU を利用できません。1 分後にもう一度お試しください。",
    ),
    "No GPU was free within a minute. Ask again in some minutes.": (
        "一分钟内没有空闲的 GPU。请几分钟后再试。",
        "1 分以内に空いた GPU がありませんでした。数分後にもう一度お試しください。",
    ),
    "The permission to use a GPU has run out. Ask again; if that does not help, reload the page.": (
        "GPU 使用许可已过期。请再问一次；若仍不行，请重新加载页面。",
        "GPU の使用許可の期限が切れました。もう一度お試しください。だめなら、ページを再読み込みしてください。",
    ),
    "The GPU was needed for longer than was asked for. Try a smaller copy of the photo.": (
        "所需 GPU 时间超过申请的时间。请换用较小的副本。",
        "GPU が申請した時間より長く必要でした。写真を小さくしてお試しください。",
    ),
    "This photo needs a GPU for longer than it is lent. Try a smaller copy of the photo.": (
        "此照片所需 GPU 时间超过可借用的时间。请换用较小的副本。",
        "この写真には貸し出し時間より長い GPU 時間が必要です。写真を小さくしてお試しください。",
    ),
    "You have as many questions on GPUs as you may. Ask again when one of them has ended.": (
        "您在 GPU 上的提问已达上限。请等其中一个结束后再问。",
        "GPU での質問数が上限に達しています。どれかが終わってからもう一度お試しください。",
    ),
    "Your time on Hugging Face's GPUs is used up for now. Try again later.": (
        "您在 Hugging Face 上的 GPU 时间暂已用完。请稍后再试。",
        "Hugging Face の GPU 時間を使い切りました。しばらくしてからお試しください。",
    ),
    "Your time on Hugging Face's GPUs is used up for now. Try again in {wait}.": (
        "您在 Hugging Face 上的 GPU 时间暂已用完。请在 {wait} 后再试。",
        "Hugging Face の GPU 時間を使い切りました。{wait} 後にお試しください。",
    ),
    "The page is closing. Please ask again when it is back.": (
        "页面即将关闭。请在恢复后再问。",
        "ページを終了しています。再開後にもう一度お試しください。",
    ),
    "The model crashed on this question. Try another photo, or a smaller copy.": (
        "模型在处理时崩溃，请换一张照片或较小的副本。",
        "モデルが処理中に停止しました。別の写真か、小さくした写真をお試しください。",
    ),
    "The model crashed and is being loaded again": (
        "模型崩溃，正在重新加载",
        "モデルが停止したため読み込み直しています",
    ),
    "{count} questions are waiting already. Please try again in a minute.": (
        "已有 {count} 个请求在排队，请一分钟后再试。",
        "すでに {count} 件が順番待ちです。1 分ほど後にもう一度お試しください。",
    ),
    "Expected at most {most} questions at a time from one visitor. Wait for one of yours to end.": (
        "每位访客最多同时提出 {most} 个请求，请等待其中一个结束。",
        "同時に受け付けるのは 1 人 {most} 件までです。どれかが終わるまでお待ちください。",
    ),
    "Looking for the model": ("正在查找模型", "モデルを探しています"),
    "Looking for {model} on the hub": ("正在 Hub 上查找 {model}", "Hub で {model} を探しています"),
    "Downloading {model} ({size:.1f} GB, once)": (
        "正在下载 {model}（{size:.1f} GB，仅一次）",
        "{model} をダウンロード中（{size:.1f} GB、初回のみ）",
    ),
    "Loading {name}": ("正在加载 {name}", "{name} を読み込み中"),
    "{doing}, {done:.0%} …": ("{doing}，{done:.0%} ……", "{doing}、{done:.0%} …"),
    "{doing} …": ("{doing}……", "{doing}…"),
    # converted weights
    "Expected a GGUF file; {file} of {folder} is none.": (
        "需要 GGUF 文件；{folder} 的 {file} 不是。",
        "GGUF ファイルが必要です。{folder} の {file} は違います。",
    ),
    "The file {file} of {folder} cannot be read: {cause}.": (
        "无法读取 {folder} 的文件 {file}：{cause}。",
        "{folder} のファイル {file} を読めません：{cause}。",
    ),
    "The file {file} of {folder} is damaged or was cut short. Convert the weights again, or copy it again.": (
        "{folder} 的文件 {file} 已损坏或不完整。请重新转换权重，或重新复制。",
        "{folder} のファイル {file} は壊れているか途中で切れています。重みをもう一度変換するか、コピーし直してください。",
    ),
    "Expected a GGUF of Qwen2.5-VL (architecture qwen2vl) in {name}; found {kinds}.": (
        "{name} 中应有 Qwen2.5-VL 的 GGUF（架构 qwen2vl）；实际为 {kinds}。",
        "{name} には Qwen2.5-VL の GGUF（アーキテクチャー qwen2vl）が必要ですが、{kinds} でした。",
    ),
    "none": ("没有", "なし"),
    "Expected the file of the vision tower (mmproj) beside {file} in {name}; it is missing.": (
        "{name} 中的 {file} 旁应有视觉部分的文件（mmproj）；它缺失了。",
        "{name} の {file} の隣に視覚部分のファイル（mmproj）が必要ですが、ありません。",
    ),
    "Expected one model and its mmproj in {name}; found {files}.": (
        "{name} 中应有一个模型及其 mmproj；实际有 {files}。",
        "{name} にはモデル 1 つとその mmproj が必要ですが、{files} がありました。",
    ),
    "Expected the vision tower of Qwen2.5-VL in {file} of {name}; it is {kind}.": (
        "{name} 的 {file} 应为 Qwen2.5-VL 的视觉部分；实际为 {kind}。",
        "{name} の {file} は Qwen2.5-VL の視覚部分のはずですが、{kind} でした。",
    ),
    "{name} is converted to {kind}; expected --precision auto, got {precision}.": (
        "{name} 已转换为 {kind}；--precision 应为 auto，而不是 {precision}。",
        "{name} は {kind} に変換済みです。--precision は {precision} ではなく auto にしてください。",
    ),
    "Expected the package {package}, which runs converted weights and is not installed. Run: {command}": (
        "运行转换后的权重需要软件包 {package}，它尚未安装。请运行：{command}",
        "変換した重みを動かすにはパッケージ {package} が必要ですが、入っていません。実行してください：{command}",
    ),
    "Starting llama.cpp with {name}": ("正在用 {name} 启动 llama.cpp", "{name} で llama.cpp を起動中"),
    "The server of llama.cpp ended in the middle of an answer ({how}). It starts again with the next question; ask once more.": (
        "llama.cpp 的服务器在回答途中结束（{how}）。它会在下一个请求时重新启动；请再试一次。",
        "llama.cpp のサーバーが回答の途中で終了しました（{how}）。次の質問で起動し直しますので、もう一度お試しください。",
    ),
    "The server of llama.cpp ended again ({how}) before it could answer. Close what else uses the memory, or convert the weights to a smaller type.": (
        "llama.cpp 的服务器在回答之前再次结束（{how}）。请关闭占用内存的其他程序，或将权重转换为更小的类型。",
        "llama.cpp のサーバーが答える前にまた終了しました（{how}）。メモリーを使っているものを閉じるか、重みをより小さい型に変換してください。",
    ),
    "it was killed, perhaps for want of memory": (
        "它被强制结束，可能是内存不足",
        "強制終了されました。メモリー不足かもしれません",
    ),
    "exit code {code}": ("退出代码 {code}", "終了コード {code}"),
    "Expected about {size:.1f} GB of free memory for {name} in {kind}; there are {free:.1f} GB. Close what else uses it, or convert the weights to a smaller type.": (
        "运行 {kind} 的 {name} 约需 {size:.1f} GB 空闲内存，现有 {free:.1f} GB。请关闭占用它的其他程序，或将权重转换为更小的类型。",
        "{kind} の {name} には約 {size:.1f} GB の空きメモリーが必要ですが、{free:.1f} GB しかありません。ほかに使っているものを閉じるか、重みをより小さい型に変換してください。",
    ),
    "The installed {package} does not fit this processor, which lacks an instruction it needs. Build one that does: {command}": (
        "已安装的 {package} 不适合此处理器，缺少它所需的指令。请自行编译：{command}",
        "入っている {package} はこのプロセッサーに合いません（必要な命令がありません）。合うものをビルドしてください：{command}",
    ),
    "The converted weights of {name} cannot be run: {cause}": (
        "无法运行 {name} 转换后的权重：{cause}",
        "変換した {name} の重みを動かせません：{cause}",
    ),
    # the checkpoint
    "Expected a folder with a checkpoint; {model} cannot be opened ({error}).": (
        "需要一个含检查点的文件夹；无法打开 {model}（{error}）。",
        "チェックポイントのフォルダーが必要です。{model} を開けません（{error}）。",
    ),
    "Expected a folder with a checkpoint; {model} is a file.": (
        "需要一个含检查点的文件夹；{model} 是文件。",
        "チェックポイントのフォルダーが必要です。{model} はファイルです。",
    ),
    "Expected a folder, a hub id such as {published}, or the word preview; found no folder {model}.": (
        "需要文件夹、Hub 名称（如 {published}）或 preview；没有文件夹 {model}。",
        "フォルダー、Hub の名前（{published} など）、または preview が必要です。フォルダー {model} はありません。",
    ),
    "Expected a folder with a checkpoint for {name}; there is none.": (
        "需要 {name} 的检查点文件夹；没有找到。",
        "{name} のチェックポイントのフォルダーが必要ですが、ありません。",
    ),
    "Expected tasks out of {tasks} and an order out of {orders} in qinsight.json of {name}: {error}.": (
        "{name} 的 qinsight.json 中，任务应为 {tasks}，顺序应为 {orders}：{error}。",
        "{name} の qinsight.json では、タスクは {tasks}、順序は {orders} から選んでください：{error}。",
    ),
    "Expected a checkpoint with a config.json in {name}; the folder is empty.": (
        "{name} 中应有带 config.json 的检查点；文件夹是空的。",
        "{name} には config.json のあるチェックポイントが必要ですが、フォルダーは空です。",
    ),
    "Expected a checkpoint with a config.json in {name}; found {files}.": (
        "{name} 中应有带 config.json 的检查点；只找到 {files}。",
        "{name} には config.json のあるチェックポイントが必要ですが、あるのは {files} です。",
    ),
    "Expected a Qwen2.5-VL checkpoint (model_type qwen2_5_vl); {name} is {kind}.": (
        "需要 Qwen2.5-VL 检查点（model_type 为 qwen2_5_vl）；{name} 是 {kind}。",
        "Qwen2.5-VL のチェックポイント（model_type は qwen2_5_vl）が必要ですが、{name} は {kind} です。",
    ),
    "Expected {count} file(s) of weights in {name}; missing {missing}. Download or copy the folder again.": (
        "{name} 中应有 {count} 个权重文件；缺少 {missing}。请重新下载或复制该文件夹。",
        "{name} には重みのファイルが {count} 個必要ですが、{missing} がありません。フォルダーをもう一度ダウンロードするかコピーしてください。",
    ),
    "Expected {needed} beside the weights in {name}; it is missing.": (
        "{name} 中缺少应与权重放在一起的 {needed}。",
        "{name} の重みと同じ場所に {needed} がありません。",
    ),
    "Expected a weight_map of tensors to files in {file} of {folder}.": (
        "{folder} 的 {file} 中应有从张量到文件的 weight_map。",
        "{folder} の {file} には、テンソルとファイルを対応させる weight_map が必要です。",
    ),
    "Expected adapter_model.safetensors in the adapter {name}; it is missing.": (
        "适配器 {name} 中缺少 adapter_model.safetensors。",
        "アダプター {name} に adapter_model.safetensors がありません。",
    ),
    "Expected base_model_name_or_path in adapter_config.json of {name}; it is empty.": (
        "{name} 的 adapter_config.json 中缺少 base_model_name_or_path。",
        "{name} の adapter_config.json に base_model_name_or_path がありません。",
    ),
    "{name} is an adapter itself; merge it into its own base first.": (
        "{name} 本身是适配器；请先将其合并到自己的基础模型。",
        "{name} 自体がアダプターです。先にその基のモデルと統合してください。",
    ),
    "The adapter {name} needs its base model {source}: {error}": (
        "适配器 {name} 需要基础模型 {source}：{error}",
        "アダプター {name} には基のモデル {source} が必要です：{error}",
    ),
    "Expected readable JSON in {file} of {folder}: {error}.": (
        "无法读取 {folder} 的 {file} 中的 JSON：{error}。",
        "{folder} の {file} の JSON を読み込めません：{error}。",
    ),
    "Expected a JSON object in {file} of {folder}, got a list or value.": (
        "{folder} 的 {file} 应为 JSON 对象，而不是列表或单个值。",
        "{folder} の {file} は JSON のオブジェクトのはずですが、リストか値です。",
    ),
    "Expected a subfolder {wanted!r} in {name}, which answers this question; it has none.": (
        "{name} 中缺少回答此问题的子文件夹 {wanted!r}。",
        "{name} には、この質問に答えるサブフォルダー {wanted!r} がありません。",
    ),
    "With a reference the part {wanted!r} of the weights answers, and {name} holds only {here!r}. `python -m qinsight convert {source} --out {folder} --type {kind}` writes both.": (
        "提供参考图时由权重的 {wanted!r} 部分回答，而 {name} 只有 {here!r}。`python -m qinsight convert {source} --out {folder} --type {kind}` 会写出两部分。",
        "参照画像があるときは重みの {wanted!r} の部分が答えますが、{name} には {here!r} しかありません。`python -m qinsight convert {source} --out {folder} --type {kind}` で両方を書き出します。",
    ),
    "The file {file} of {model} came damaged. Start once more: it is downloaded anew.": (
        "{model} 的文件 {file} 下载后已损坏。请再次启动，它会重新下载。",
        "{model} のファイル {file} は壊れて届きました。もう一度起動すると改めてダウンロードします。",
    ),
    "The download was ended.": ("下载已终止。", "ダウンロードは終了しました。"),
    "The download of {model} stopped: {cause}. Start once more: it goes on where it was.": (
        "{model} 的下载中断：{cause}。请再次启动，它会从中断处继续。",
        "{model} のダウンロードが止まりました：{cause}。もう一度起動すると続きから始まります。",
    ),
    "{here} can run the published weights in {held}: {time}. One command downloads {download:.1f} GB, prepares and opens them, and goes on where it was ended: `{command}`": (
        "{here}能以 {held} 运行已发表的权重：{time}。一条命令即可下载 {download:.1f} GB、准备并打开，中断后可继续：`{command}`",
        "{here}では公開された重みを {held}で動かせます。{time}。次のコマンド一つで {download:.1f} GB をダウンロードし、準備して開きます。中断しても続きから始まります：`{command}`",
    ),
    "{here} cannot run the published weights now: in {held} they want {needed:.1f} GB of free memory, and {free:.1f} GB are free.": (
        "{here}现在无法运行已发表的权重：以 {held} 需要 {needed:.1f} GB 可用内存，现有 {free:.1f} GB。",
        "{here}では今、公開された重みを動かせません。{held}で {needed:.1f} GB の空きメモリーが必要ですが、空きは {free:.1f} GB です。",
    ),
    "{here} could run the published weights in {held}, which want {needed:.1f} GB of free disk; {free:.1f} GB are free.": (
        "{here}本可以 {held} 运行已发表的权重，但需要 {needed:.1f} GB 可用磁盘空间，现有 {free:.1f} GB。",
        "{here}では公開された重みを {held}で動かせますが、{needed:.1f} GB の空きディスクが必要です。空きは {free:.1f} GB です。",
    ),
    "This computer ({memory} GB, {cores} cores)": (
        "这台计算机（{memory} GB，{cores} 核）",
        "このコンピューター（{memory} GB、{cores} コア）",
    ),
    "{bits} bits ({how})": ("{bits} 位（{how}）", "{bits} ビット（{how}）"),
    "how long a photo takes is not known": (
        "每张照片需要多久尚不清楚",
        "写真 1 枚にかかる時間は分かりません",
    ),
    "about {seconds} seconds a photo": ("每张照片约 {seconds} 秒", "写真 1 枚に約 {seconds} 秒"),
    "about a minute a photo": ("每张照片约一分钟", "写真 1 枚に約 1 分"),
    "about {minutes} minutes a photo": ("每张照片约 {minutes} 分钟", "写真 1 枚に約 {minutes} 分"),
    "handled as it should be, checked on {date}": (
        "处理正确，检查于 {date}",
        "正しく扱われています（{date} に検査）",
    ),
    "alarm: {names}; checked on {date}": ("警报：{names}；检查于 {date}", "警告：{names}（{date} に検査）"),
    "Expected a passport written by `check` in {path}; it cannot be read ({error}).": (
        "{path} 中应有由 `check` 写下的护照，但无法读取（{error}）。",
        "{path} には `check` が書いたパスポートが必要ですが、読み取れません（{error}）。",
    ),
    "The passport in {path} is not of what answers here: its {field} is {then}, and now it is {now}.": (
        "{path} 中的护照不属于此处作答的模型：其中 {field} 为 {then}，现在为 {now}。",
        "{path} のパスポートはここで答えるものではありません。{field} が {then} で、今は {now} です。",
    ),
    "{model} is converted already; leave out --convert.": (
        "{model} 已经转换；请去掉 --convert。",
        "{model} は変換済みです。--convert を外してください。",
    ),
    "Expected --convert without --endpoint: a server has its own weights.": (
        "--convert 不能与 --endpoint 同用：服务器有自己的权重。",
        "--convert は --endpoint と併用できません。サーバーには独自の重みがあります。",
    ),
    "Expected {size} of free disk for {model}: {coming} to download, {converted} converted; there are {free}. Make room, or set HF_HOME and XDG_CACHE_HOME to a larger disk.": (
        "{model} 需要 {size} 可用磁盘空间：下载 {coming}，转换后 {converted}；现有 {free}。请腾出空间，或将 HF_HOME 和 XDG_CACHE_HOME 设到更大的磁盘。",
        "{model} には {size} の空きディスクが必要です（ダウンロード {coming}、変換後 {converted}）。空きは {free} です。空けるか、HF_HOME と XDG_CACHE_HOME を大きなディスクにしてください。",
    ),
    "Expected {size} of free disk for {model}; there are {free}. Make room, or set HF_HOME to a larger disk.": (
        "{model} 需要 {size} 磁盘空间，现有 {free}。请腾出空间，或将 HF_HOME 设到更大的磁盘。",
        "{model} には {size} の空きディスクが必要ですが、{free} しかありません。空きを増やすか、HF_HOME をより大きなディスクにしてください。",
    ),
    "{model} asks for a permission on its hub page; log in with `hf auth login` first.": (
        "{model} 需要在其 Hub 页面获得许可；请先用 `hf auth login` 登录。",
        "{model} は Hub のページで許可を求めています。先に `hf auth login` でログインしてください。",
    ),
    "Expected a model on the hub; there is none called {model} that you may see.": (
        "Hub 上没有您可以访问的模型 {model}。",
        "Hub に、閲覧できるモデル {model} はありません。",
    ),
    "{model} is not on this disk and the hub cannot be reached to download it. Connect to the network, or use --model preview, or name a folder that has the weights.": (
        "{model} 不在本机磁盘上，也无法连接 Hub 下载。请连接网络，或使用 --model preview，或指定含权重的文件夹。",
        "{model} はこのディスクになく、ダウンロードのために Hub へ接続することもできません。ネットワークに接続するか、--model preview を使うか、重みのあるフォルダーを指定してください。",
    ),
    # its weights
    "Expected a {device} device; this machine and its torch offer {here}.": (
        "需要 {device} 设备；本机及其 torch 只有 {here}。",
        "{device} デバイスが必要ですが、このコンピューターの torch で使えるのは {here} です。",
    ),
    "The {device} device ran out of memory while loading {name}. Close what else uses it, or try --precision nf4, --device cpu or --model preview.": (
        "加载 {name} 时 {device} 设备内存不足。请关闭占用它的其他程序，或尝试 --precision nf4、--device cpu 或 --model preview。",
        "{name} の読み込み中に {device} デバイスのメモリーが不足しました。ほかに使っているものを閉じるか、--precision nf4、--device cpu、--model preview をお試しください。",
    ),
    "The weights of {name} cannot be loaded: {cause}": (
        "无法加载 {name} 的权重：{cause}",
        "{name} の重みを読み込めません：{cause}",
    ),
    "Expected all weights that config.json describes in {name}; {count} are missing, the first {first}.": (
        "{name} 中缺少 config.json 所述的 {count} 个权重，第一个是 {first}。",
        "{name} には config.json にある重みのうち {count} 個がありません。最初は {first} です。",
    ),
    "Keeping the 4-bit weights of {name} for the next start": (
        "正在保存 {name} 的 4 位权重，供下次启动使用",
        "次回の起動のために {name} の 4 ビットの重みを保存しています",
    ),
    "This processor has no bf16 products (AVX512-BF16), so {name} answers slowly on it. llama.cpp is made for such processors: `python -m qinsight convert MODEL --out DIR`, then --model DIR.": (
        "此处理器不支持 bf16 乘法（AVX512-BF16），因此 {name} 在其上回答较慢。llama.cpp 适合这类处理器：先运行 `python -m qinsight convert MODEL --out DIR`，再用 --model DIR。",
        "このプロセッサーには bf16 の積（AVX512-BF16）がないため、{name} の回答は遅くなります。llama.cpp はこのようなプロセッサー向けです：`python -m qinsight convert MODEL --out DIR` の後、--model DIR を指定してください。",
    ),
    "{name} is stored in 4 bits (nf4); expected --precision auto or nf4, got {wanted}.": (
        "{name} 以 4 位（nf4）存储；--precision 应为 auto 或 nf4，而不是 {wanted}。",
        "{name} は 4 ビット（nf4）です。--precision は {wanted} ではなく auto か nf4 にしてください。",
    ),
    "Expected about {size:.1f} GB of free memory on the {device} device for {name} in {wanted}; there are {free:.1f} GB. Close what else uses it, or try --precision nf4, --model preview, or --endpoint with a server that holds it.": (
        "以 {wanted} 加载 {name}，{device} 设备约需 {size:.1f} GB 空闲内存，现有 {free:.1f} GB。请关闭占用它的其他程序，或尝试 --precision nf4、--model preview，或用 --endpoint 连接已加载它的服务器。",
        "{name} を {wanted} で読み込むには {device} デバイスに約 {size:.1f} GB の空きメモリーが必要ですが、{free:.1f} GB しかありません。ほかに使っているものを閉じるか、--precision nf4、--model preview、またはサーバーを指す --endpoint をお試しください。",
    ),
    "Expected full weights or 4-bit bitsandbytes in {name}; they are quantised by {method}.": (
        "{name} 应为完整权重或 4 位 bitsandbytes；实际由 {method} 量化。",
        "{name} は量子化されていない重みか 4 ビットの bitsandbytes のはずですが、{method} で量子化されています。",
    ),
    "The file {file} of {name} is damaged or incomplete ({cause}). Download or copy it again.": (
        "{name} 的文件 {file} 已损坏或不完整（{cause}）。请重新下载或复制。",
        "{name} のファイル {file} は壊れているか不完全です（{cause}）。もう一度ダウンロードするかコピーしてください。",
    ),
    "The tokenizer or image processor of {folder} cannot be read: {cause}": (
        "无法读取 {folder} 的分词器或图像处理器：{cause}",
        "{folder} のトークナイザーまたは画像プロセッサーを読み込めません：{cause}",
    ),
    "Expected a chat template in {folder}; there is none.": (
        "{folder} 中缺少聊天模板。",
        "{folder} にチャットテンプレートがありません。",
    ),
    "Expected a folder that does not exist yet; {out} does.": (
        "需要一个尚不存在的文件夹；{out} 已存在。",
        "まだないフォルダーを指定してください。{out} はすでにあります。",
    ),
    "Expected full weights to quantise; {name} is an adapter. Merge it into its base first.": (
        "只能量化完整权重；{name} 是适配器。请先将其合并到基础模型。",
        "量子化できるのは完全な重みです。{name} はアダプターなので、先に基のモデルと統合してください。",
    ),
    "The checkpoint cannot be written to {out}: {cause}": (
        "无法将检查点写入 {out}：{cause}",
        "チェックポイントを {out} に書き込めません：{cause}",
    ),
    "The adapter {name} does not fit its base model: {cause}": (
        "适配器 {name} 与基础模型不匹配：{cause}",
        "アダプター {name} は基のモデルに合いません：{cause}",
    ),
    "The adapter {name} lacks {count} of its tensors, the first {first}.": (
        "适配器 {name} 缺少 {count} 个张量，第一个是 {first}。",
        "アダプター {name} にはテンソルが {count} 個足りません。最初は {first} です。",
    ),
    "Writing {name}": ("正在写入 {name}", "{name} を書き込み中"),
    "{name} was not trained for {task}; it knows {known}.": (
        "{name} 未经 {task} 训练；它会的是 {known}。",
        "{name} は {task} を学習していません。答えられるのは {known} です。",
    ),
    # the server
    "The server at {host} broke off in the middle of a reply ({cause}).": (
        "服务器 {host} 在回答中途断开（{cause}）。",
        "サーバー {host} が返答の途中で切れました（{cause}）。",
    ),
    "the reply has no end": ("回答没有结尾", "返答に終わりがありません"),
    "{count} of {asked} replies failed: {first}": (
        "{asked} 个回答中有 {count} 个失败：{first}",
        "{asked} 件の返答のうち {count} 件が失敗しました：{first}",
    ),
    "The server at {host} took longer than {seconds:g} seconds to {what}.": (
        "服务器 {host} 未能在 {seconds:g} 秒内{what}。",
        "サーバー {host} は {seconds:g} 秒以内に{what}ませんでした。",
    ),
    "begin its reply": ("开始回答", "返答を始め"),
    "answer": ("作出回答", "返答し"),
    "go on with its reply": ("继续回答", "返答を続け"),
    "The server at {host} gave the reply up ({reason}).": (
        "服务器 {host} 放弃了回答（{reason}）。",
        "サーバー {host} は返答をやめました（{reason}）。",
    ),
    "The server at {host} did not say which models it has ({cause}).": (
        "服务器 {host} 没有告知有哪些模型（{cause}）。",
        "サーバー {host} からモデルの一覧を得られませんでした（{cause}）。",
    ),
    "The server at {host} sends us to another, {there}; if that is the right one, give its address to --endpoint.": (
        "服务器 {host} 转到了另一台 {there}；若那是正确的，请将其地址用于 --endpoint。",
        "サーバー {host} は別のサーバー {there} を案内しています。それでよければ、そのアドレスを --endpoint に指定してください。",
    ),
    "Nobody answers at {host}; is the server running, and is the address right?": (
        "{host} 没有响应；服务器是否在运行，地址是否正确？",
        "{host} から応答がありません。サーバーは動いていますか。アドレスは正しいですか。",
    ),
    "What answers at {address} is no OpenAI-compatible server{said}; expected an address like http://host:8000/v1.": (
        "{address} 上的不是 OpenAI 兼容服务器{said}；地址应如 http://host:8000/v1。",
        "{address} は OpenAI 互換のサーバーではありません{said}。http://host:8000/v1 のようなアドレスが必要です。",
    ),
    " (it says: {words})": ("（它说：{words}）", "（応答：{words}）"),
    "{said} If it only lists no models, name one with --model.": (
        "{said}若它只是不列出模型，请用 --model 指定一个。",
        "{said}モデルの一覧がないだけなら、--model で指定してください。",
    ),
    "The server at {host} sends us in a circle; is the address right?": (
        "服务器 {host} 循环转址；地址是否正确？",
        "サーバー {host} の転送が循環しています。アドレスは正しいですか。",
    ),
    "The server at {host} wants another API key (status {status}{said}); set {variable} to one it knows.": (
        "服务器 {host} 需要另一个 API 密钥（状态 {status}{said}）；请将 {variable} 设为它认可的密钥。",
        "サーバー {host} は別の API キーを求めています（ステータス {status}{said}）。有効なキーを {variable} に設定してください。",
    ),
    "The server at {host} has no model {model}{has}: {words}": (
        "服务器 {host} 没有模型 {model}{has}：{words}",
        "サーバー {host} にモデル {model} はありません{has}：{words}",
    ),
    " (it has {models})": ("（它有 {models}）", "（あるのは {models}）"),
    "{names} and {count} more": ("{names} 以及另外 {count} 个", "{names} ほか {count} 個"),
    "The photo is too large for the server at {host}; try a smaller --max-pixels.": (
        "照片对服务器 {host} 来说太大；请用更小的 --max-pixels。",
        "写真がサーバー {host} には大きすぎます。--max-pixels を小さくしてお試しください。",
    ),
    "The server at {host} is busy or broken (status {status}){said}": (
        "服务器 {host} 正忙或出错（状态 {status}）{said}",
        "サーバー {host} は混雑しているか故障しています（ステータス {status}）{said}",
    ),
    "The server at {host} refused the request (status {status}){said}": (
        "服务器 {host} 拒绝了请求（状态 {status}）{said}",
        "サーバー {host} が要求を断りました（ステータス {status}）{said}",
    ),
    "The server at {host} lists no model; say which one to ask with --model.": (
        "服务器 {host} 没有列出模型；请用 --model 指定。",
        "サーバー {host} のモデルの一覧は空です。--model で指定してください。",
    ),
    "The server at {host} has several models, say which with --model: {models}.": (
        "服务器 {host} 有多个模型，请用 --model 指定其中之一：{models}。",
        "サーバー {host} には複数のモデルがあります。--model で指定してください：{models}。",
    ),
    "Expected an address like http://host:8000/v1, got {given!r}.": (
        "地址应如 http://host:8000/v1，而不是 {given!r}。",
        "http://host:8000/v1 のようなアドレスが必要ですが、{given!r} でした。",
    ),
    "Expected an API key of plain letters, digits and signs; this one has others.": (
        "API 密钥只能含普通字母、数字和符号；此密钥含有其他字符。",
        "API キーに使えるのは英数字と記号だけですが、ほかの文字が含まれています。",
    ),
    "The reply was cut, and when asked again the server began a different one; ask again.": (
        "回答被截断，再次询问时服务器开始了不同的回答；请再试一次。",
        "返答が途切れ、再度の質問に別の返答が始まりました。もう一度お試しください。",
    ),
    # a folder
    "Expected photos ({kinds}) in {place}; there are none.": (
        "{place} 中没有照片（{kinds}）。",
        "{place} に写真（{kinds}）はありません。",
    ),
    "Expected photos ({kinds}) in {place}; there are none. {left_out}": (
        "{place} 中没有照片（{kinds}）。{left_out}",
        "{place} に写真（{kinds}）はありません。{left_out}",
    ),
    "Left out: {parts}.": ("未包括：{parts}。", "対象外：{parts}。"),
    "{reason}: {count} ({names})": ("{reason} {count} 个（{names}）", "{reason} {count} 件（{names}）"),
    "system folders": ("系统文件夹", "システムのフォルダー"),
    "hidden": ("隐藏项", "隠し項目"),
    "links": ("链接", "リンク"),
    "folders that may not be opened": ("无权打开的文件夹", "開く権限のないフォルダー"),
    "pipes and devices": ("管道或设备", "パイプやデバイス"),
    "other kinds": ("其他类型", "ほかの種類"),
    "the file cannot be read: {cause}": ("无法读取文件：{cause}", "ファイルを読み込めません：{cause}"),
    "{photo}: {error}": ("{photo}：{error}", "{photo}：{error}"),
    "{first}; {others}": ("{first}，{others}", "{first}、{others}"),
    "expected a photo below the folder, got {name!r}": (
        "照片应在该文件夹之内，而不是 {name!r}。",
        "写真はそのフォルダーの中にあるはずですが、{name!r} でした。",
    ),
    "Expected a result in line {number} of {path}; it cannot be read ({error}). Move the file away to begin anew.": (
        "无法读取 {path} 第 {number} 行的结果（{error}）。请移走该文件，以便重新开始。",
        "{path} の {number} 行目の結果を読み込めません（{error}）。ファイルを別の場所へ移すと、最初からやり直せます。",
    ),
    "Expected a folder for {what}; {place} is none.": (
        "{what} 需要一个文件夹；{place} 不是文件夹。",
        "{what} にはフォルダーが必要ですが、{place} はフォルダーではありません。",
    ),
    "Expected to read {path}, got '{cause}'.": (
        "需要读取 {path}，但出现“{cause}”。",
        "{path} を読み込む必要がありますが、「{cause}」となりました。",
    ),
    "Expected to write {path}, got '{cause}'; free some space or choose another place{finished}.": (
        "无法写入 {path}（{cause}）；请腾出空间或选择其他位置{finished}。",
        "{path} に書き込めません（{cause}）。空きを増やすか、別の場所を選んでください{finished}。",
    ),
    " (a file that was there is unchanged)": ("（原有的文件没有改变）", "（元のファイルは変わっていません）"),
    "; the {count} sidecars written before it stay": (
        "；此前写入的 {count} 个附属文件保留不变",
        "（それまでに書いた {count} 個のサイドカーは残ります）",
    ),
    "Expected the name of a file to write, got a folder or a device: {path}.": (
        "需要要写入的文件名，而 {path} 是文件夹或设备。",
        "書き込むファイルの名前が必要ですが、{path} はフォルダーかデバイスです。",
    ),
    "Expected the name of a file to write, got a {kind} photo: {path}; it is unchanged.": (
        "需要要写入的文件名，而 {path} 是 {kind} 照片；它没有改变。",
        "書き込むファイルの名前が必要ですが、{path} は {kind} の写真です。変更していません。",
    ),
    "Expected a photo that is rated or picked, and there is none yet.": (
        "还没有已评分或已选的照片。",
        "評価または採用された写真がまだありません。",
    ),
    "Expected a folder of this computer, opened with the token of its page.": (
        "只能用于以带令牌的地址打开的本机文件夹。",
        "トークン付きのアドレスで開いた、このコンピューターのフォルダーでのみ使えます。",
    ),
    "Expected two photos that are still here.": (
        "需要两张仍在此处的照片。",
        "まだここにある写真が 2 枚必要です。",
    ),
    "Expected four rising ratings at which 2, 3, 4 and 5 stars begin, such as {usual}; got {text}.": (
        "需要四个递增的评分，作为 2、3、4、5 星的起点，例如 {usual}；输入为 {text}。",
        "2・3・4・5 つ星が始まる評価を小さい順に 4 つ指定してください（例 {usual}）。入力は {text} です。",
    ),
    "Expected a folder of photos; there is no folder {folder}.": (
        "没有文件夹 {folder}。",
        "フォルダー {folder} はありません。",
    ),
    "Another run is writing to {out}. Wait for it, or choose another folder.": (
        "另一个任务正在写入 {out}。请等待，或选择其他文件夹。",
        "別の処理が {out} に書き込み中です。終わるのを待つか、別のフォルダーを選んでください。",
    ),
    "Results cannot be written to {place}: {cause}. What was finished is kept; run the same command again.": (
        "结果无法写入 {place}：{cause}。已完成的部分已保留；请重新运行。",
        "結果を {place} に書き込めません：{cause}。終わった分は残っています。もう一度実行してください。",
    ),
}


def translated(said: str, place: int) -> str | None:
    """What is said in Chinese (place 0) or Japanese (1), the sentences in it too; None where its template is not known."""
    others = SENTENCES.get(said.template) if isinstance(said, Sentence) else None
    if others is None or not isinstance(said, Sentence):
        return None
    values = {
        name: translated(value, place) or value if isinstance(value, str) else value
        for name, value in said.values.items()
    }
    return str(Sentence(others[place], **values))
