"""What an answer means in plain words, and what to do about it: in English, Chinese and Japanese.

`words` hands these out with everything else that the page says. What stands here is the app's, never the model's.
"""

# "darken" where people read it, before its severity: the model's word stays in JSON, CSV and XMP.
UNDEREXPOSED = {
    "slight_dark": ("slightly underexposed", "轻微曝光不足", "わずかな露出不足"),
    "moderate_dark": ("moderately underexposed", "中等程度曝光不足", "中程度の露出不足"),
    "obvious_dark": ("obviously underexposed", "明显曝光不足", "明らかな露出不足"),
    "serious_dark": ("seriously underexposed", "严重曝光不足", "深刻な露出不足"),
    "catastrophic_dark": ("catastrophically underexposed", "极其严重的曝光不足", "壊滅的な露出不足"),
}

SENTENCE = {
    "verdict": ("{rating}: {fault}.", "{rating}：{fault}。", "{rating}：{fault}。"),
    "verdict_half": ("{said}.", "{said}。", "{said}。"),
    "no_fault": ("no fault found", "未发现失真", "劣化は見つかりません"),
    "app_says": ("The app notes", "本应用提示", "アプリの注記"),
    "too_small": (
        "Too small to judge: {width} × {height} pixels.",
        "尺寸太小，无法判断：{width} × {height} 像素。",
        "小さすぎて判断できません：{width} × {height} ピクセル。",
    ),
    "model_said": ("The model said: {said}", "模型的回答：{said}", "モデルの回答：{said}"),
    "much_smaller": (
        "Rated at {seen:.1f} of its {size:.1f} megapixels: fine noise and slight blur may vanish at this size. "
        "Check at 100 %.",
        "评估时只用了 {size:.1f} 百万像素中的 {seen:.1f}：细小噪声和轻微模糊在此尺寸下可能消失，请以 100 % 查看。",
        "{size:.1f} メガピクセルのうち {seen:.1f} で評価しました。"
        "この大きさでは細かいノイズや軽いぼけが消えることがあります。100 % で確かめてください。",
    ),
    "contradiction": (
        "Rating and diagnosis contradict each other: “{rating}” beside “{fault}”. Look for yourself at 100 %.",
        "评分与诊断相互矛盾：“{rating}”与“{fault}”并存。请以 100 % 亲自查看。",
        "評価と診断が食い違っています：「{rating}」と「{fault}」。100 % で自分の目で確かめてください。",
    ),
}

SURE = {
    "between": (
        "The app: between {low:.1f} and {high:.1f}, nine times in ten.",
        "本应用：十次有九次在 {low:.1f} 与 {high:.1f} 之间。",
        "アプリ：10 回のうち 9 回は {low:.1f} から {high:.1f} の間です。",
    ),
    "called": (
        "The app: the model said “{fault}” of {times} photos; {right} times it was right.",
        "本应用：模型曾对 {times} 张照片说“{fault}”，其中 {right} 次正确。",
        "アプリ：モデルが「{fault}」と答えた {times} 枚のうち、正しかったのは {right} 枚です。",
    ),
    "supported": ("supported by the pixels", "像素支持此说法", "画素が裏付ける"),
    "contradicted": ("contradicted by the pixels", "像素与此说法矛盾", "画素と食い違う"),
    "not_checkable": ("not checkable by the pixels", "无法用像素核对", "画素では確かめられない"),
    "measured_so": ("{found}: {measured}", "{found}：{measured}", "{found}：{measured}"),
    "faithful": ("Faithfulness: {part:.0%}.", "与像素相符：{part:.0%}。", "画素との一致：{part:.0%}。"),
    "holds_for": (
        "Measured on, and holds for photos like: {photos}.",
        "测量所用、并仅适用于此类照片：{photos}。",
        "測った写真、当てはまるのはこれに似た写真だけ：{photos}。",
    ),
}

WHAT = {
    "what": ("What this means", "含义说明", "この意味"),
    "what_rating": (
        "The mean opinion that people would give of the technical quality, from 1 (bad) to 5 (excellent). "
        "Beauty, subject and composition do not count.",
        "人们对技术质量的平均评价，从 1（很差）到 5（优秀）。美感、题材和构图不计在内。",
        "技術的な画質に人々が付ける平均点で、1（非常に悪い）から 5（非常に良い）まで。"
        "美しさ、被写体、構図は含みません。",
    ),
    "what_between": (
        "The dark part of the scale: of ten photos like those that people rated for the app, nine lie in "
        "theirs. Of other photos it says nothing.",
        "刻度上的深色段：在人们评过分的同类照片中，十张有九张落在各自的范围内。对其他照片不作说明。",
        "目盛りの濃い部分です。人が評価した同じ種類の写真の 10 枚に 9 枚がその範囲に入ります。"
        "ほかの写真については何も言えません。",
    ),
    "what_noise": (
        "Grain or coloured specks that were not in the scene. High ISO and brightened shadows make it.",
        "场景中并不存在的颗粒或彩色斑点，由高 ISO 或提亮暗部造成。",
        "被写体にはない粒や色の斑点です。高い ISO や持ち上げた暗部で生じます。",
    ),
    "what_compression": (
        "Blocks, rings and smeared texture from saving too small. JPEG, WebP and messengers make it.",
        "因压缩过度而出现的方块、边缘振铃和糊掉的纹理，常见于 JPEG、WebP 和聊天软件。",
        "小さく保存しすぎたためのブロック、輪郭のにじみ、つぶれた質感です。JPEG、WebP、メッセージアプリで生じます。",
    ),
    "what_blur": (
        "Edges that are wider than they were. Missed focus, a moving camera or subject, or enlarging makes it.",
        "边缘比实际更宽，由对焦不准、相机或被摄体移动、放大图像造成。",
        "輪郭が実際より広がっています。ピント外れ、カメラや被写体の動き、拡大で生じます。",
    ),
    "what_darken": (
        "Less light than the subject needs, so that detail sinks into black. The model calls it “darken”.",
        "光线少于主体所需，细节没入黑暗。模型称之为 darken。",
        "被写体に必要な光が足りず、細部が黒に沈みます。モデルの言葉では darken です。",
    ),
    "what_clean": (
        "The model looks for noise, compression, blur and underexposure, and named none of them. "
        "Other faults it does not know.",
        "模型只检查噪声、压缩、模糊和曝光不足，均未指出。其他缺陷它并不认识。",
        "モデルはノイズ、圧縮、ぼけ、露出不足を探し、どれも挙げませんでした。ほかの欠点は知りません。",
    ),
    "what_odds": (
        "The bars are the model’s own odds of each severity, not how often it is right.",
        "色条是模型自己给出的各程度的可能性，并不是它判断正确的频率。",
        "棒はモデル自身が見込む各程度の割合で、正しい頻度ではありません。",
    ),
    "what_cues": (
        "Before it answers, this model reads properties of the photo, each as a digit from 0 to 9. "
        "They are its own estimates; press a name to see what it stands for.",
        "作答之前，此模型先读出照片的若干属性，各为 0 到 9 的一个数字。这是它自己的估计；点按名称可查看含义。",
        "このモデルは答える前に写真の性質を 0 から 9 の数字で読み取ります。"
        "モデル自身の見積もりです。名前を押すと意味が出ます。",
    ),
}

CUES = {
    "measured": ("What it measured", "它测得的属性", "読み取った性質"),
    "cue_noise": ("noise", "噪声", "ノイズ"),
    "cue_grain": ("grain", "颗粒", "粒状感"),
    "cue_chroma": ("colour noise", "彩色噪声", "色ノイズ"),
    "cue_specks": ("specks", "斑点", "斑点"),
    "cue_blocking": ("blocking", "方块", "ブロック"),
    "cue_flatness": ("flatness", "平坦", "平坦さ"),
    "cue_sharpness": ("sharpness", "锐度", "鮮鋭さ"),
    "cue_detail": ("detail", "细节", "細部"),
    "cue_brightness": ("brightness", "亮度", "明るさ"),
    "cue_shadows": ("shadows", "暗部", "暗部"),
    "cue_highlights": ("highlights", "亮部", "明部"),
    "cue_contrast": ("contrast", "对比度", "コントラスト"),
    "what_cue_noise": (
        "Roughness from pixel to pixel in the smoothest tenth of the photo, where no detail should be.",
        "照片最平滑的十分之一区域中相邻像素的起伏，那里本不该有细节。",
        "写真の最も滑らかな 1 割での画素ごとの荒れです。細部のないはずの所です。",
    ),
    "what_cue_grain": (
        "The same roughness at half the size: noise so coarse that shrinking does not remove it.",
        "缩小一半后的同样起伏：粗到缩小也去不掉的噪声。",
        "半分の大きさで見た同じ荒れです。縮小しても消えない粗いノイズです。",
    ),
    "what_cue_chroma": (
        "Roughness of colour where the photo is smooth: red, green or blue blotches.",
        "平滑区域中颜色的起伏：红、绿、蓝色的斑块。",
        "滑らかな所での色の荒れ、赤・緑・青のむらです。",
    ),
    "what_cue_specks": (
        "The roughest few spots of the photo: single pixels that stick out, or very hard edges.",
        "照片中最粗糙的少数位置：突出的单个像素，或非常硬的边缘。",
        "写真で最も荒れた数か所です。飛び出た画素や、とても硬い輪郭です。",
    ),
    "what_cue_blocking": (
        "Steps at the borders of 8 × 8 squares, in which JPEG stores a photo.",
        "8 × 8 方块边界上的台阶，JPEG 以这种方块存储照片。",
        "JPEG が写真を保存する 8 × 8 の升目の境に出る段差です。",
    ),
    "what_cue_flatness": (
        "Share of the photo without any texture: clear sky, but also smearing by blur or compression.",
        "没有任何纹理的面积占比：晴空如此，被模糊或压缩抹平也如此。",
        "質感のない面積の割合です。青空でも、ぼけや圧縮でつぶれても増えます。",
    ),
    "what_cue_sharpness": (
        "How hard the hardest edges are. Low: nothing in the photo is in focus. Noise raises it, too.",
        "最硬的边缘有多硬。低表示没有任何地方清晰；噪声也会使它升高。",
        "最も硬い輪郭の硬さです。低ければどこにもピントがありません。ノイズでも上がります。",
    ),
    "what_cue_detail": (
        "Fine texture beside coarse changes: much of it in a crisp photo, little in a soft one.",
        "细小纹理与大的明暗变化之比：清晰的照片多，柔软的照片少。",
        "粗い変化に対する細かい質感の量です。くっきりした写真で多く、甘い写真で少なくなります。",
    ),
    "what_cue_brightness": (
        "How bright the photo is on the whole. Low is dark; a night scene is rightly so.",
        "照片整体的明亮程度。低即偏暗；夜景理应如此。",
        "写真全体の明るさです。低いと暗い写真ですが、夜景なら当然です。",
    ),
    "what_cue_shadows": (
        "Share of the photo that is nearly black.",
        "接近全黑的面积占比。",
        "ほとんど黒い面積の割合です。",
    ),
    "what_cue_highlights": (
        "Share of the photo that is nearly white.",
        "接近全白的面积占比。",
        "ほとんど白い面積の割合です。",
    ),
    "what_cue_contrast": (
        "How far dark and bright lie apart. Low: a veil of haze or an even, dull light.",
        "明暗相差多大。低表示如蒙薄雾，或光线平淡。",
        "暗い所と明るい所の差です。低いともやがかかったか、光が平板です。",
    ),
}

# Slight and moderate are mild, the rest is strong: a mild fault can be mended, a strong one is best shot again.
ADVICE = {
    "now": ("Now", "现在", "いま"),
    "next_time": ("Next time", "下次", "次回"),
    "now_clean": ("Nothing to mend.", "无需修补。", "直す所はありません。"),
    "now_noise_mild": (
        "A light denoise helps, colour noise first. In a small print it will not show.",
        "轻度降噪即可，先去彩色噪声。小尺寸冲印时看不出来。",
        "軽いノイズ除去が効きます。まず色ノイズから。小さなプリントでは目立ちません。",
    ),
    "next_noise_mild": (
        "Expose a little brighter at a lower ISO; lifting shadows afterwards brings noise out.",
        "降低 ISO、曝光稍亮一些；事后提亮暗部会带出噪声。",
        "ISO を下げ、少し明るめに露出します。あとで暗部を持ち上げるとノイズが出ます。",
    ),
    "now_noise_strong": (
        "Denoise the RAW file, if there is one; a JPEG loses its detail with the noise.",
        "若有 RAW 文件，请对它降噪；JPEG 降噪会连细节一起失去。",
        "RAW があればそれをノイズ除去します。JPEG では細部も一緒に失われます。",
    ),
    "next_noise_strong": (
        "More light: a wider aperture, a longer exposure on a tripod, a flash. Or several frames, averaged.",
        "增加光线：更大光圈、三脚架长曝光或闪光灯；或多拍几张取平均。",
        "光を増やします。絞りを開く、三脚で長く露出する、フラッシュを使う。または数枚を平均します。",
    ),
    "now_compression_mild": (
        "Look for the original file before it was sent or shared; do not save this one again.",
        "找出发送或分享之前的原文件；不要再次另存这一份。",
        "送信や共有をする前の元ファイルを探します。このファイルを保存し直さないでください。",
    ),
    "next_compression_mild": (
        "Save at quality 90 or more, and send as a file, not as a picture in a chat.",
        "以 90 以上的质量保存，并作为文件发送，而不是聊天图片。",
        "品質 90 以上で保存し、チャットの画像ではなくファイルとして送ります。",
    ),
    "now_compression_strong": (
        "Only the original helps: what was thrown away in saving does not come back.",
        "只有原文件有用：保存时丢掉的信息无法恢复。",
        "役に立つのは元ファイルだけです。保存で捨てられたものは戻りません。",
    ),
    "next_compression_strong": (
        "Keep the camera’s own file, edit from it, and shrink a copy only at the very end.",
        "保留相机原文件并从它编辑，最后才缩小副本。",
        "カメラの元ファイルを残してそこから編集し、縮小は最後に写しだけ行います。",
    ),
    "now_blur_mild": (
        "Careful sharpening, or a smaller size, hides it.",
        "适度锐化，或缩小尺寸，可以掩盖。",
        "控えめなシャープや縮小で目立たなくなります。",
    ),
    "next_blur_mild": (
        "Halve the exposure time, and check the focus point at 100 %.",
        "曝光时间减半，并以 100 % 检查对焦点。",
        "露出時間を半分にし、ピントの位置を 100 % で確かめます。",
    ),
    "now_blur_strong": (
        "Sharpening will not bring it back. Pick another frame.",
        "锐化无法挽回，请选另一张。",
        "シャープでは戻りません。別のコマを選びます。",
    ),
    "next_blur_strong": (
        "A shorter exposure or a tripod; focus on the eye or on the nearest edge, and take several frames.",
        "缩短曝光或用三脚架；对焦在眼睛或最近的边缘上，多拍几张。",
        "露出を短くするか三脚を使い、目や一番手前の輪郭にピントを合わせ、数枚撮ります。",
    ),
    "now_darken_mild": (
        "Raise exposure or shadows a little; noise may come out with them.",
        "略微提高曝光或暗部；噪声可能随之显现。",
        "露出か暗部を少し上げます。ノイズも出ることがあります。",
    ),
    "next_darken_mild": (
        "Add half a stop to one stop of exposure compensation, and look at the histogram.",
        "曝光补偿增加半档到一档，并查看直方图。",
        "露出補正を半段から 1 段上げ、ヒストグラムを見ます。",
    ),
    "now_darken_strong": (
        "Try the RAW file: two stops can be saved. In a JPEG the shadows are mostly gone.",
        "试试 RAW 文件：约可挽回两档。JPEG 的暗部大多已失。",
        "RAW なら 2 段ほど救えることがあります。JPEG の暗部はほぼ失われています。",
    ),
    "next_darken_strong": (
        "Meter on the subject, not on the bright background; open up, expose longer, or use a fill flash.",
        "对主体而非明亮背景测光；开大光圈、延长曝光或补光。",
        "明るい背景ではなく被写体で測光します。絞りを開く、長く露出する、またはフラッシュで補います。",
    ),
}

TRUST = {
    "about_meaning": (
        "## What a rating means\n"
        "A rating is the mean opinion that people would give of a photo’s technical quality, from 1 (bad) to 5 "
        "(excellent).\nIt says nothing of beauty, subject or composition.\n\n"
        "Do not trust it\n"
        "- where two photos differ by a few tenths: compare them instead;\n"
        "- where a large photo was rated much smaller: fine noise and slight blur vanish. Look at 100 %;\n"
        "- for tiny pictures, drawings and screenshots;\n"
        "- where dark or soft was meant: a silhouette, a night, a portrait before a blurred background;\n"
        "- where rating and diagnosis contradict each other. The page says so.\n",
        "## 评分的含义\n"
        "评分是人们对照片技术质量的平均评价，从 1（很差）到 5（优秀），与美感、题材和构图无关。\n\n"
        "以下情况请勿轻信：\n"
        "- 两张照片只差零点几分：请改用对比；\n"
        "- 大照片按小得多的尺寸评估：细小噪声和轻微模糊会消失，请以 100 % 查看；\n"
        "- 很小的图片、绘画和截图；\n"
        "- 有意为之的昏暗或柔和：剪影、夜景、虚化背景的人像；\n"
        "- 评分与诊断相互矛盾（页面会指出）。\n",
        "## 評価値の意味\n"
        "評価値は写真の技術的な画質に人々が付ける平均点で、1（非常に悪い）から 5（非常に良い）までです。"
        "美しさ、被写体、構図については何も言いません。\n\n"
        "次の場合は信用しないでください。\n"
        "- 2 枚の差がコンマ数点のとき：比較を使います。\n"
        "- 大きな写真をずっと小さくして評価したとき：細かいノイズや軽いぼけは消えます。100 % で見てください。\n"
        "- とても小さな画像、絵、スクリーンショット。\n"
        "- 暗さや柔らかさが意図されたとき：シルエット、夜景、背景をぼかした人物。\n"
        "- 評価と診断が食い違うとき（ページがそう知らせます）。\n",
    ),
}

MEANINGS = UNDEREXPOSED | SENTENCE | SURE | WHAT | CUES | ADVICE | TRUST
