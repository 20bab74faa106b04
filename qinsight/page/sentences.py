"""Sentences that the package says in English, such as why a file is no photo, in Chinese and Japanese.

The package is not the place for three languages: its sentences are matched here, {} standing for what differs.
Those of a command line, a checkpoint or a server's administrator are not among them; they are shown as they are.
"""

import re
from functools import cache

# English: (Chinese, Japanese); {0}, {1} are what stood at the first, second {}. {#} is a whole number.
SENTENCES = {
    # the file
    "expected a photo, got an empty file; copy or export it once more": (
        "这是一个空文件；请重新复制或导出照片。",
        "空のファイルです。もう一度コピーするか書き出してください。",
    ),
    "expected a file of at most {} MB, got a larger one; save the photo as a JPEG": (
        "文件超过 {0} MB；请将照片另存为 JPEG。",
        "ファイルが {0} MB を超えています。JPEG で保存し直してください。",
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
    "expected a photo, got {}; export it as JPEG, PNG or WebP": (
        "这不是照片，而是{0}；请导出为 JPEG、PNG 或 WebP。",
        "写真ではなく{0}です。JPEG、PNG または WebP で書き出してください。",
    ),
    "expected a photo, got a file of another kind; try JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF": (
        "这不是照片文件；请使用 JPEG、PNG、WebP、TIFF、GIF、BMP 或 AVIF。",
        "写真のファイルではありません。JPEG、PNG、WebP、TIFF、GIF、BMP、AVIF をお試しください。",
    ),
    "expected a JPEG of at most {} scans, got one with more; save it again as a JPEG": (
        "此 JPEG 的扫描次数超过 {0}；请重新保存为 JPEG。",
        "この JPEG はスキャン数が {0} を超えています。JPEG で保存し直してください。",
    ),
    "expected a complete JPEG file, got one that is damaged; export it once more": (
        "此 JPEG 文件已损坏；请重新导出。",
        "この JPEG ファイルは壊れています。もう一度書き出してください。",
    ),
    "expected a photo, got a TIFF with only a reduced preview in it; export it again": (
        "此 TIFF 中只有缩小的预览图；请重新导出。",
        "この TIFF には縮小プレビューしか入っていません。書き出し直してください。",
    ),
    "expected JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF, got a {} photo; run `pip install {}`, or export it as a JPEG": (
        "此处无法读取 {0} 照片；请运行 `pip install {1}`，或导出为 JPEG。",
        "ここでは {0} を読み込めません。`pip install {1}` を実行するか、JPEG で書き出してください。",
    ),
    "expected a complete {} file, got one that is damaged, cut short or of a rare kind; export it once more": (
        "此 {0} 文件已损坏、不完整或格式少见；请重新导出。",
        "この {0} ファイルは壊れているか、途中で切れているか、特殊な形式です。もう一度書き出してください。",
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
    "expected at most {} megapixels, got {} x {}; save a smaller copy": (
        "照片为 {1} × {2}，超过 {0} 百万像素；请保存较小的副本。",
        "写真は {1} × {2} で、{0} メガピクセルを超えています。小さくして保存してください。",
    ),
    "expected at most {} megapixels, got {} x {}; export the photo as a smaller JPEG": (
        "照片为 {1} × {2}，超过 {0} 百万像素；请导出为较小的 JPEG。",
        "写真は {1} × {2} で、{0} メガピクセルを超えています。小さな JPEG で書き出してください。",
    ),
    "expected a photo of fewer pixels; save a smaller copy": (
        "照片像素过多；请保存较小的副本。",
        "写真の画素数が多すぎます。小さくして保存してください。",
    ),
    "expected a photo that fits in memory, got a larger one; save a smaller copy": (
        "照片太大，内存不足；请保存较小的副本。",
        "写真が大きすぎてメモリーに収まりません。小さくして保存してください。",
    ),
    "expected a photo of at least {} x {} pixels, got {} x {}": (
        "照片为 {2} × {3}，至少需要 {0} × {1} 像素。",
        "写真は {2} × {3} です。{0} × {1} 画素以上が必要です。",
    ),
    "expected a shape of at most {}:1, got {} x {}; crop it first": (
        "照片为 {1} × {2}，长宽比超过 {0}:1；请先裁剪。",
        "写真は {1} × {2} で、縦横比が {0}:1 を超えています。先に切り抜いてください。",
    ),
    "Expected a photo at most {} times as long as wide; this one is {} x {}.": (
        "照片为 {1} × {2}，长边超过短边的 {0} 倍；请先裁剪。",
        "写真は {1} × {2} で、長辺が短辺の {0} 倍を超えています。先に切り抜いてください。",
    ),
    "expected a photo that can be read within {} seconds{}, got one that needs more or is damaged; save it again as an ordinary JPEG": (
        "照片无法在 {0} 秒内读取，或已损坏；请重新保存为普通 JPEG。",
        "写真を {0} 秒以内に読み込めないか、壊れています。通常の JPEG で保存し直してください。",
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
    "first of {} frames": ("共 {0} 帧，取第一帧", "{0} フレームの最初"),
    "RAW: embedded preview rated": ("RAW：评估内嵌预览图", "RAW：内蔵プレビューを評価"),
    "RAW: developed, with automatic brightness": ("RAW：已显影，自动亮度", "RAW：現像済み、明るさは自動"),
    "colour profile {} converted": ("已转换色彩配置文件 {0}", "カラープロファイル {0} を変換"),
    "colour profile unusable, taken as sRGB": (
        "色彩配置文件不可用，按 sRGB 处理",
        "カラープロファイルが使えないため sRGB とみなす",
    ),
    "colour chunk {} damaged, ignored": (
        "颜色数据块 {0} 已损坏，已忽略",
        "色チャンク {0} は壊れているため無視",
    ),
    "{} colours are not converted": ("{0} 色彩未转换", "{0} の色は変換していない"),
    "narrow-range": ("窄范围", "狭い範囲"),
    "gamma {} and primaries of its own": ("伽马 {0}（自带原色）", "ガンマ {0}（独自の原色）"),
    "gamma {}": ("伽马 {0}", "ガンマ {0}"),
    # uploads
    "this upload has expired; please upload the photo again": (
        "上传的照片已过期；请重新上传。",
        "アップロードの期限が切れました。もう一度アップロードしてください。",
    ),
    "This upload has expired. Please upload the file again.": (
        "上传的文件已过期，请重新上传。",
        "アップロードの期限が切れました。もう一度アップロードしてください。",
    ),
    "Expected an uploaded photo. Please upload the file again.": (
        "需要上传的照片，请重新上传文件。",
        "アップロードされた写真が必要です。もう一度アップロードしてください。",
    ),
    # the reply
    'Expected "Image A", "Image B" or "Similar"; the model said {}.': (
        "应回答 “Image A”、“Image B” 或 “Similar”；模型说的是 {0}。",
        "「Image A」「Image B」「Similar」のいずれかを求めましたが、モデルは {0} と答えました。",
    ),
    "Expected a {} out of {} or null; the model said {}.": (
        "{0} 应为 {1} 或 null；模型说的是 {2}。",
        "{0} は {1} または null のはずですが、モデルは {2} と答えました。",
    ),
    "Expected a distortion with its severity, or null for both; the model said {} with severity {}.": (
        "失真类型与严重程度应同时给出或同为 null；模型说的是 {0} 和 {1}。",
        "劣化とその程度の両方、または両方 null を求めましたが、モデルは {0} と {1} を答えました。",
    ),
    'Expected one "distortion_class" and one "severity"; the model said {}.': (
        "应有一个 “distortion_class” 和一个 “severity”；模型说的是 {0}。",
        "「distortion_class」と「severity」を 1 つずつ求めましたが、モデルは {0} と答えました。",
    ),
    "Expected an answer inside <answer> tags; the reply ends with {}.": (
        "答案应在 <answer> 标签内；回答的结尾是 {0}。",
        "<answer> タグの中に回答があるはずですが、返答は {0} で終わっています。",
    ),
    "Expected an answer inside the <answer> tags; they are empty.": (
        "<answer> 标签内没有答案。",
        "<answer> タグの中が空です。",
    ),
    "Expected one answer; the model gave several: {}.": (
        "只应有一个答案；模型给出了多个：{0}。",
        "回答は 1 つのはずですが、モデルは複数答えました：{0}。",
    ),
    'Expected one "{}"; the model gave {}.': (
        "“{0}” 只应有一个；模型给出了 {1}。",
        "「{0}」は 1 つのはずですが、モデルは {1} を答えました。",
    ),
    'Expected the key "{}"; the model said {}.': (
        "答案中缺少 “{0}”；模型说的是 {1}。",
        "回答に「{0}」がありません。モデルは {1} と答えました。",
    ),
    "Expected a rating from 1 to 5; the model said {}.": (
        "评分应在 1 到 5 之间；模型说的是 {0}。",
        "1 から 5 の評価を求めましたが、モデルは {0} と答えました。",
    ),
    "Expected one rating from 1 to 5; the model said {}.": (
        "应只有一个 1 到 5 的评分；模型说的是 {0}。",
        "1 から 5 の評価を 1 つ求めましたが、モデルは {0} と答えました。",
    ),
    "The reply was cut after {} tokens, before its answer. {}": (
        "回答在 {0} 个词元后被截断，尚未给出答案。{1}",
        "返答は {0} トークンで打ち切られ、回答に届きませんでした。{1}",
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
    "Image {} is better, in both orders.": (
        "照片 {0} 更好，两种顺序一致。",
        "写真 {0} の方が良い（どちらの順序でも）。",
    ),
    "Image {} is better, against the reference.": (
        "与参考照片相比，照片 {0} 更好。",
        "参照写真に対して、写真 {0} の方が良い。",
    ),
    # the model
    "Stopped.": ("已停止。", "停止しました。"),
    "Stopped before the model was free.": ("在模型空闲之前已停止。", "モデルが空く前に停止しました。"),
    "stopped while the photo was being read": (
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
    "The model could not be loaded ({}). The terminal says more.": (
        "模型无法加载（{0}），详情见终端。",
        "モデルを読み込めませんでした（{0}）。詳しくは端末をご覧ください。",
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
    "Your time on Hugging Face's GPUs is used up for now. Try again in {}.": (
        "您在 Hugging Face 上的 GPU 时间暂已用完。请在 {0} 后再试。",
        "Hugging Face の GPU 時間を使い切りました。{0} 後にお試しください。",
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
    "In line for the model: {#} before you.": (
        "正在排队等待模型：前面还有 {0} 个。",
        "モデルの順番待ちです：あと {0} 件。",
    ),
    "{#} questions are waiting already. Please try again in a minute.": (
        "已有 {0} 个请求在排队，请一分钟后再试。",
        "すでに {0} 件が順番待ちです。1 分ほど後にもう一度お試しください。",
    ),
    "Expected at most {#} questions at a time from one visitor. Wait for one of yours to end.": (
        "每位访客最多同时提出 {0} 个请求，请等待其中一个结束。",
        "同時に受け付けるのは 1 人 {0} 件までです。どれかが終わるまでお待ちください。",
    ),
    "Looking for the model": ("正在查找模型", "モデルを探しています"),
    "Looking for {} on the hub": ("正在 Hub 上查找 {0}", "Hub で {0} を探しています"),
    "Downloading {} ({} GB, once)": (
        "正在下载 {0}（{1} GB，仅一次）",
        "{0} をダウンロード中（{1} GB、初回のみ）",
    ),
    "Downloading ({} GB, once)": ("正在下载（{0} GB，仅一次）", "ダウンロード中（{0} GB、初回のみ）"),
    "Loading {}": ("正在加载 {0}", "{0} を読み込み中"),
    "{}, {#}% …": ("{0}，{1}% ……", "{0}、{1}% …"),
    "{} …": ("{0}……", "{0}…"),
    # a folder
    "Expected a folder of photos; there is no folder {}.": (
        "没有文件夹 {0}。",
        "フォルダー {0} はありません。",
    ),
    "system folders: {#} ({})": ("系统文件夹 {0} 个（{1}）", "システムのフォルダー {0} 件（{1}）"),
    "hidden: {#} ({})": ("隐藏项 {0} 个（{1}）", "隠し項目 {0} 件（{1}）"),
    "links: {#} ({})": ("链接 {0} 个（{1}）", "リンク {0} 件（{1}）"),
    "folders that may not be opened: {#} ({})": (
        "无权打开的文件夹 {0} 个（{1}）",
        "開く権限のないフォルダー {0} 件（{1}）",
    ),
    "pipes and devices: {#} ({})": ("管道或设备 {0} 个（{1}）", "パイプやデバイス {0} 件（{1}）"),
    "other kinds: {#} ({})": ("其他类型 {0} 个（{1}）", "ほかの種類 {0} 件（{1}）"),
    "Another run is writing to {}. Wait for it, or choose another folder.": (
        "另一个任务正在写入 {0}。请等待，或选择其他文件夹。",
        "別の処理が {0} に書き込み中です。終わるのを待つか、別のフォルダーを選んでください。",
    ),
    "Results cannot be written to {}: {}. What was finished is kept; run the same command again.": (
        "结果无法写入 {0}：{1}。已完成的部分已保留；请重新运行。",
        "結果を {0} に書き込めません：{1}。終わった分は残っています。もう一度実行してください。",
    ),
}


@cache
def _patterns() -> list[tuple[re.Pattern[str], tuple[str, str]]]:
    """The English sentences as patterns, the ones with most words of their own first."""
    kinds = {"{}": "(.*?)", "{#}": r"(\d+)"}
    by_words = sorted(SENTENCES.items(), key=lambda entry: -len(re.sub(r"\{#?\}", "", entry[0])))
    return [
        (
            re.compile(
                "".join(kinds.get(part) or re.escape(part) for part in re.split(r"(\{#?\})", english)),
                re.DOTALL,
            ),
            others,
        )
        for english, others in by_words
    ]


def translated(said: str, place: int) -> str | None:
    """An English sentence in Chinese (place 0) or Japanese (1), its parts too; None where it is not known."""
    for pattern, others in _patterns():
        found = pattern.fullmatch(said)
        if found:
            parts = [translated(part, place) or part if part else "" for part in found.groups()]
            return others[place].format(*parts)
    return None
