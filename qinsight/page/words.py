"""Everything the page says, in English, Chinese and Japanese; the model's own words stay as they are.

Labels travel to the browser, where Gradio's I18n picks the language; sentences with figures in them are made
here, in the language of the visitor who reads them. Errors arrive in English from the package: `sentences`
knows their translations.
"""

from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import gradio as gr

from qinsight.errors import QInsightError
from qinsight.page.meanings import MEANINGS
from qinsight.page.sentences import translated
from qinsight.sentence import by_itself


class Language(StrEnum):
    """The languages of the page, by the names that Gradio's own translations have."""

    ENGLISH = "en"
    CHINESE = "zh-CN"
    JAPANESE = "ja"


NAMES = [("English", Language.ENGLISH), ("简体中文", Language.CHINESE), ("日本語", Language.JAPANESE)]

# What a label is called: English, Chinese, Japanese. The browser reads them as ICU messages: no braces, no
# angle brackets, no apostrophes.
LABELS = {
    "language": ("Language", "语言", "言語"),
    "tab_assess": ("Assess", "评估", "評価"),
    "tab_compare": ("Compare", "对比", "比較"),
    "tab_rank": ("Shoot", "选片", "選別"),
    "tab_about": ("About", "关于", "概要"),
    "photo": ("Photo", "照片", "写真"),
    "assess": ("Assess", "评估", "評価する"),
    "stop": ("Stop", "停止", "停止"),
    "choose": ("Choose photos", "选择照片", "写真を選ぶ"),
    "film": ("Filmstrip", "胶片条", "フィルムストリップ"),
    "loupe": ("Loupe", "放大镜", "ルーペ"),
    "loupe_full": ("100 %", "100 %", "100 %"),
    "loupe_blown": ("Highlights", "高光溢出", "白とび"),
    "loupe_blocked": ("Shadows", "暗部死黑", "黒つぶれ"),
    "loupe_histogram": ("Histogram", "直方图", "ヒストグラム"),
    "loupe_saw": (
        "the model saw # of these pixels",
        "模型看到其中 # 的像素",
        "モデルが見たのはこの画素の #",
    ),
    "loupe_all": ("the model saw every pixel", "模型看到了全部像素", "モデルは全画素を見ました"),
    "loupe_gone": (
        "This photo cannot be looked at any more. Please bring it again.",
        "此照片已无法查看，请重新添加。",
        "この写真はもう表示できません。もう一度追加してください。",
    ),
    "copy": ("Copy as text", "复制为文本", "テキストをコピー"),
    "save": ("Save as JSON", "保存为 JSON", "JSON で保存"),
    "copied": ("Copied.", "已复制。", "コピーしました。"),
    "not_copied": (
        "The browser does not allow copying here.",
        "浏览器不允许在此复制。",
        "ブラウザーがコピーを許可していません。",
    ),
    "saved": ("Saved.", "已保存。", "保存しました。"),
    "rating_reasoning": ("Reasoning: rating", "推理过程：质量评分", "推論：画質の評価"),
    "rating_words": ("Reasoning behind the rating", "质量评分的推理过程", "画質評価の推論"),
    "diagnosis_reasoning": ("Reasoning: diagnosis", "推理过程：失真诊断", "推論：劣化の診断"),
    "diagnosis_words": ("Reasoning behind the diagnosis", "失真诊断的推理过程", "劣化診断の推論"),
    "quality_rating": ("Quality rating", "图像质量评分", "画質の評価値"),
    "severity_chances": (
        "The model’s own odds of each severity",
        "模型自己给出的各程度可能性",
        "モデル自身が見込む程度ごとの割合",
    ),
    "raw_reply": ("Raw reply", "原始回答", "返答の原文"),
    "raw_words": ("Both replies as they came", "两个回答的原文", "二つの返答の原文"),
    "purpose": (
        "Drop in a photo: you get a rating from 1 to 5, what is wrong with it, how badly, and why.",
        "放入一张照片：得到 1 到 5 的评分、存在的问题、严重程度及理由。",
        "写真を入れると、1 から 5 の評価、欠点とその程度、そして理由がわかります。",
    ),
    "card": ("Save card", "保存卡片", "カードを保存"),
    "strip": ("Answered in this tab", "本标签页中已回答", "このタブで回答済み"),
    "strip_kept": ("Kept in this tab only", "仅保存在此标签页", "このタブだけに保存"),
    "strip_clear": ("Clear", "清除", "消去"),
    "strip_go_on": ("Go on with those that wait", "继续等待中的照片", "待っている写真を続ける"),
    "strip_back": (
        "Bring back what was answered before the reload",
        "找回刷新前已回答的照片",
        "再読み込み前の回答を戻す",
    ),
    "strip_unkept": (
        "This browser gives the page no room to remember: what was answered is gone after a reload.",
        "浏览器没有给页面留下存储空间：刷新后已回答的内容会丢失。",
        "ブラウザーに保存する余地がありません。再読み込みすると回答は消えます。",
    ),
    "examples": ("Examples", "示例", "サンプル"),
    "photo_a": ("Photo A", "照片 A", "写真 A"),
    "photo_b": ("Photo B", "照片 B", "写真 B"),
    "reference": ("Reference", "参考照片", "参照写真"),
    "reference_optional": (
        "Reference (optional): the low-quality photo that A and B improve on",
        "参考照片（可选）：A 和 B 所改进的低质量原图",
        "参照写真（任意）：A と B の元になった低画質の写真",
    ),
    "compare": ("Compare", "对比", "比較する"),
    "swap": ("Swap A and B", "交换 A 和 B", "A と B を入れ替え"),
    "pair_side": ("Side by side", "并排", "並べて"),
    "pair_slider": ("Slider", "滑块", "スライダー"),
    "pair_single": ("One place", "同一位置", "同じ場所"),
    "pair_flip": ("Flip: hold, or Space", "按住切换，或空格键", "押す間入れ替え（スペース）"),
    "first_reasoning": ("Reasoning: A shown first", "推理过程：先看 A", "推論：A を先に提示"),
    "first_words": (
        "Reasoning with photo A first",
        "先看照片 A 时的推理过程",
        "写真 A を先に見せたときの推論",
    ),
    "second_reasoning": ("Reasoning: B shown first", "推理过程：先看 B", "推論：B を先に提示"),
    "second_words": (
        "Reasoning with photo B first",
        "先看照片 B 时的推理过程",
        "写真 B を先に見せたときの推論",
    ),
    "photos": ("Photos", "多张照片", "写真（複数）"),
    "folder": ("Choose a folder", "选择文件夹", "フォルダーを選ぶ"),
    "files_coming": (
        "Files are still coming: they are rated as soon as they are here.",
        "文件仍在上传：到齐后立即评分。",
        "ファイルを受信中です。届きしだい評価します。",
    ),
    "nothing_there": ("There is no file in it.", "其中没有文件。", "ファイルがありません。"),
    "path": (
        "or a folder of this computer; results go into its subfolder q-insight, and a run resumes",
        "或本机上的文件夹；结果写入其子文件夹 q-insight，中断后可继续",
        "またはこのコンピューターのフォルダー。結果はサブフォルダー q-insight に入り、中断しても再開できます",
    ),
    "elsewhere": (
        "To rank a folder of this computer where it is, open the address with a token that was printed when the "
        "page was started.",
        "若要就地为本机文件夹排序，请打开启动页面时打印的带令牌的地址。",
        "このコンピューターのフォルダーをその場でランク付けするには、起動時に表示されたトークン付きのアドレスを開いてください。",
    ),
    "closer": ("Look closer", "细看各处", "細部を見る"),
    "which_best": ("Which is best? (tournament)", "哪张最好？（淘汰赛）", "どれが最良か（トーナメント）"),
    "rank": ("Rate all", "全部评分", "すべて評価する"),
    "degradation": ("Degradation", "失真类型", "劣化の種類"),
    "ranking": ("Ranking", "排序结果", "ランキング"),
    "csv": ("CSV", "CSV", "CSV"),
    "jsonl": ("JSONL", "JSONL", "JSONL"),
    "html": ("Contact sheet", "照片总览", "コンタクトシート"),
    "xmp": ("XMP sidecars", "XMP 附属文件", "XMP サイドカー"),
    "export_options": ("Choices for XMP", "XMP 选项", "XMP の設定"),
    "sidecar_names": ("Names of sidecars", "附属文件的命名", "サイドカーの名前"),
    "star_ratings": (
        "Ratings from which 2, 3, 4 and 5 stars are given, 1.8, 2.6, 3.4, 4.2 if not said otherwise",
        "2、3、4、5 星的起始评分，默认为 1.8, 2.6, 3.4, 4.2",
        "2・3・4・5 つ星になる評価（既定は 1.8, 2.6, 3.4, 4.2）",
    ),
    "as_caption": (
        "The reasoning as caption of photos that have none",
        "没有说明的照片以推理过程作为说明",
        "説明のない写真には推論を説明として書く",
    ),
    "keep_stars": (
        "Stars that somebody gave elsewhere stay",
        "保留在别处打的星级",
        "ほかで付けた星は残す",
    ),
    "picks_place": (
        "Folder for copies of the picks, in the shoot if not said otherwise",
        "存放选中照片副本的文件夹，默认在拍摄文件夹内",
        "選んだ写真のコピー先フォルダー（既定は撮影フォルダーの中）",
    ),
    "xmp_beside": ("XMP beside the photos", "XMP 写在照片旁", "XMP を写真の横に書く"),
    "xmp_embed": ("XMP into the JPEGs", "XMP 写入 JPEG", "XMP を JPEG に書き込む"),
    "xmp_copies": ("Copy the picks", "复制选中的照片", "選んだ写真をコピー"),
    "view": ("View", "视图", "表示方法"),
    "view_grid": ("Grid", "网格", "格子"),
    "view_film": ("Film", "胶片", "フィルム"),
    "view_list": ("List", "列表", "一覧"),
    "sort": ("Order", "顺序", "並び順"),
    "sort_rating": ("Expected rating", "期望评分", "評価の期待値"),
    "sort_name": ("Name", "名称", "名前"),
    "sort_time": ("Time", "时间", "時刻"),
    "state": ("State", "状态", "状態"),
    "state_all": ("All", "全部", "すべて"),
    "state_picked": ("Picked", "已选中", "採用"),
    "state_rejected": ("Rejected", "已排除", "不採用"),
    "state_undecided": ("Undecided", "未定", "未定"),
    "state_look": ("Needs your eyes", "需您亲自看", "目視が必要"),
    "at_most_wrong": ("at most wrong", "允许出错", "誤りの上限"),
    "heap_accept": ("accept", "可接受", "採用可"),
    "heap_reject": ("reject", "可排除", "不採用可"),
    "heap_look": ("look", "请查看", "要確認"),
    "good_first": ("choose “pick from” first", "请先设定选中的起始分", "先に採用する評価を選んでください"),
    "what_heaps": ("What this means", "含义说明", "この意味"),
    "heaps_are": (
        "The app’s heaps: of what it accepts, and of what it rejects, no more than that share should be wrong. Good is what is rated "
        "from “pick from” up. The rest needs your eyes. Nothing is picked or rejected for you, and no frame of a bracket is in reject.",
        "本应用的分堆：在它接受的和排除的照片中，出错的比例都不应超过此值。达到“选中”起始分即为合格，其余需您亲自看。"
        "不会替您选中或排除，包围曝光的照片从不归入排除。",
        "アプリの仕分けです。採用可の中でも不採用可の中でも、誤りはこの割合までのはずです。採用する評価以上を良い写真とし、残りは目視が必要です。"
        "代わりに採用・不採用にはせず、ブラケットの写真は不採用可に入りません。",
    ),
    "picked": ("picked", "已选中", "採用"),
    "rejected": ("rejected", "已排除", "不採用"),
    "undecided": ("undecided", "未定", "未定"),
    "do_picked": ("Pick", "选中", "採用する"),
    "do_rejected": ("Reject", "排除", "不採用にする"),
    "do_clear": ("Clear", "清除", "取り消す"),
    "undo": ("Undo", "撤销", "元に戻す"),
    "burst": ("Frames alike", "相似的照片", "似た写真"),
    "alike": ("@ alike", "@ 张相似", "似た写真 @ 枚"),
    "bracket_of": ("bracket of @", "包围曝光 @ 张", "ブラケット @ 枚"),
    "to_compare": ("Compare @", "对比 @", "比較 @"),
    "look": ("The photo", "这张照片", "この写真"),
    "unrated": ("not rated yet", "尚未评分", "未評価"),
    "n_photos": ("photos", "张照片", "枚の写真"),
    "n_rated": ("rated", "已评分", "評価済み"),
    "reject_below": ("reject below", "低于此分排除", "不採用にする評価"),
    "pick_from": ("pick from", "达到此分选中", "採用する評価"),
    "none_match": ("0 of @ match.", "@ 张中没有符合的。", "@ 枚中、該当なし。"),
    "clear_filter": ("Clear filter", "清除筛选", "絞り込みを解除"),
    "no_memory": (
        "This browser keeps nothing here: picks are lost when the page is closed or loaded again.",
        "此浏览器在此不保存任何内容：关闭或重新载入页面后，选择会丢失。",
        "このブラウザーは何も保存しません。ページを閉じるか再読み込みすると選択は失われます。",
    ),
    "shoot_keys": (
        "P pick · X reject · U clear · 1 to 5 stars · Space look · Z 100 % · B frames alike · C compare · Ctrl+Z undo",
        "P 选中 · X 排除 · U 清除 · 1 至 5 星级 · 空格 查看 · Z 100 % · B 相似的照片 · C 对比 · Ctrl+Z 撤销",
        "P 採用 · X 不採用 · U 取り消す · 1～5 星 · スペース 拡大 · Z 100 % · B 似た写真 · C 比較 · Ctrl+Z 元に戻す",
    ),
    "keys": ("Keyboard shortcuts", "键盘快捷键", "キーボードショートカット"),
    "keys_on": ("Use these keys", "启用这些按键", "これらのキーを使う"),
    "keys_list": (
        "`A` assess, compare or rank · `Esc` stop · `X` swap A and B · `N` next example · `P` previous example · "
        "`Z` 100 % · `Space` (held) flip A and B · `H` blown highlights · `S` blocked shadows · `G` histogram · `?` show or hide this",
        "`A` 评估、对比或排序 · `Esc` 停止 · `X` 交换 A 和 B · `N` 下一个示例 · `P` 上一个示例 · "
        "`Z` 100 % · `Space`（按住）切换 A 和 B · `H` 高光溢出 · `S` 暗部死黑 · `G` 直方图 · `?` 显示或隐藏此说明",
        "`A` 評価・比較・ランク付け · `Esc` 停止 · `X` A と B を入れ替え · `N` 次のサンプル · `P` 前のサンプル · "
        "`Z` 100 % · `Space`（押す間）A と B を切り替え · `H` 白とび · `S` 黒つぶれ · `G` ヒストグラム · `?` この説明を表示・非表示",
    ),
}

# Words that the page puts together: {names} are filled in.
PHRASES = {
    "waiting": ("Waiting for the model …", "正在等待模型……", "モデルの順番を待っています…"),
    "reading": ("Reading the photo …", "正在读取照片……", "写真を読み込んでいます…"),
    "reading_two": ("Reading the photos …", "正在读取照片……", "写真を読み込んでいます…"),
    "looking": ("Looking …", "正在查看……", "写真を見ています…"),
    "layer_looking": (
        "Looking: layer {layer} of {layers}{left} …",
        "正在查看：第 {layer} 层，共 {layers} 层{left}……",
        "写真を見ています：{layers} 層中 {layer} 層目{left}…",
    ),
    "layer_reading": (
        "Reading: layer {layer} of {layers}{left} …",
        "正在阅读：第 {layer} 层，共 {layers} 层{left}……",
        "読んでいます：{layers} 層中 {layer} 層目{left}…",
    ),
    "time_left": (
        ", about {seconds:.0f} s left",
        "，约剩 {seconds:.0f} 秒",
        "、残り約 {seconds:.0f} 秒",
    ),
    "thinking_status": ("Thinking …", "正在思考……", "考えています…"),
    "thinking": ("thinking", "思考中", "思考中"),
    "stopped": ("Stopped.", "已停止。", "停止しました。"),
    "unfinished": ("stopped before an answer", "在得出答案前已停止", "回答の前に停止しました"),
    "unfinished_words": (
        "[Stopped here: unfinished.]",
        "〔在此停止：未完成。〕",
        "［ここで停止：未完了。］",
    ),
    "photo_first": (
        "Upload, paste or pick a photo first.",
        "请先上传、粘贴或选择一张照片。",
        "先に写真をアップロードするか、貼り付けるか、選んでください。",
    ),
    "two_photos_first": (
        "Upload two photos first.",
        "请先上传两张照片。",
        "先に写真を 2 枚アップロードしてください。",
    ),
    "photo_a_first": (
        "Upload photo A first.",
        "请先上传照片 A。",
        "先に写真 A をアップロードしてください。",
    ),
    "photo_b_first": (
        "Upload photo B first.",
        "请先上传照片 B。",
        "先に写真 B をアップロードしてください。",
    ),
    "page_restarted": (
        "The page was started again since and does not know you. Open the address that it printed last.",
        "页面已重新启动，不认识您了。请打开它最近显示的地址。",
        "ページは再起動され、接続が無効になりました。最後に表示されたアドレスを開いてください。",
    ),
    "photos_first": (
        "Choose photos or a folder first.",
        "请先选择照片或文件夹。",
        "先に写真またはフォルダーを選んでください。",
    ),
    "rated_at": (
        "{format}, {width} × {height}{notes}; rated at {seen_width} × {seen_height}",
        "{format}，{width} × {height}{notes}；评估尺寸 {seen_width} × {seen_height}",
        "{format}、{width} × {height}{notes}、評価時は {seen_width} × {seen_height}",
    ),
    "note": ("; {note}", "；{note}", "、{note}"),
    "and_then": ("{facts}. {doing}", "{facts}。{doing}", "{facts}。{doing}"),
    "done": (
        "{facts}; {seconds:.1f} s by {model}",
        "{facts}；用时 {seconds:.1f} 秒，模型 {model}",
        "{facts}、{seconds:.1f} 秒、モデル {model}",
    ),
    "replaying": ("A recorded reply …", "回放录制的回答…", "記録した回答を再生中…"),
    "recorded": (
        "{facts}; a recorded reply of {model}, {seconds:.1f} s when it was new",
        "{facts}；模型 {model} 的录制回答，当时用时 {seconds:.1f} 秒",
        "{facts}、モデル {model} の記録済みの回答（当時 {seconds:.1f} 秒）",
    ),
    "of_five": ("of 5: {word}", "满分 5：{word}", "5 点満点：{word}"),
    "rating_1": ("bad", "很差", "非常に悪い"),
    "rating_2": ("poor", "较差", "悪い"),
    "rating_3": ("fair", "一般", "普通"),
    "rating_4": ("good", "良好", "良い"),
    "rating_5": ("excellent", "优秀", "非常に良い"),
    "repaired": (
        " (the reply had flaws: {repairs})",
        "（回答格式有瑕疵：{repairs}）",
        "（回答の形式に不備：{repairs}）",
    ),
    "rated": ("{rating:.2f} {of_five}", "{rating:.2f}（{of_five}）", "{rating:.2f}（{of_five}）"),
    "end": (". ", "。", "。"),
    "no_answer": ("No answer", "没有答案", "回答なし"),
    "unreadable_reply": (
        "the reply could not be read; see the reasoning",
        "无法解读模型的回答，请看推理过程",
        "回答を読み取れませんでした。推論を見てください",
    ),
    "the_reply_was": ("The reply was:", "模型的回答：", "モデルの回答："),
    "clean": ("No degradation", "无失真", "劣化なし"),
    "clean_of": (
        "neither noise, compression, blur nor underexposure",
        "未见噪声、压缩伪影、模糊、曝光不足",
        "ノイズ、圧縮ノイズ、ぼけ、露出不足のいずれもなし",
    ),
    "degraded": ("{severity} {distortion}", "{severity}{distortion}", "{severity}{distortion}"),
    "chances": (
        "the model’s own odds of each severity",
        "模型自己给出的各程度可能性",
        "モデル自身が見込む程度ごとの割合",
    ),
    "no_chances": ("this model gives no odds", "此模型不提供可能性", "このモデルは割合を出しません"),
    "noise": ("noise", "噪声", "ノイズ"),
    "compression": ("compression", "压缩伪影", "圧縮ノイズ"),
    "blur": ("blur", "模糊", "ぼけ"),
    "darken": ("underexposed", "曝光不足", "露出不足"),
    "slight": ("slight", "轻微", "軽微"),
    "moderate": ("moderate", "中等", "中程度"),
    "obvious": ("obvious", "明显", "明らか"),
    "serious": ("serious", "严重", "深刻"),
    "catastrophic": ("catastrophic", "极其严重", "壊滅的"),
    "slight_": ("slight", "轻微", "軽微な"),  # before a noun
    "moderate_": ("moderate", "中等", "中程度の"),
    "obvious_": ("obvious", "明显", "明らかな"),
    "serious_": ("serious", "严重", "深刻な"),
    "catastrophic_": ("catastrophic", "极其严重的", "壊滅的な"),
    "all": ("all", "全部", "すべて"),
    "clean_photos": ("clean", "无失真", "劣化なし"),
    "no_verdict": (
        "No verdict: a reply could not be read.",
        "没有结论：有一个回答无法解读。",
        "判定なし：読み取れない回答がありました。",
    ),
    "better": ("Better", "更好", "良い"),
    "clearly_better": ("Better, clearly", "明显更好", "明らかに良い"),
    "a_better": ("A is better", "A 更好", "A の方が良い"),
    "b_better": ("B is better", "B 更好", "B の方が良い"),
    "alike": ("both alike", "两张相当", "同程度"),
    "each_order": (
        "Shown A first, the model answered: {first}. Shown B first: {second}.",
        "先看 A 时模型的回答：{first}。先看 B 时：{second}。",
        "A を先に見たときの回答：{first}。B を先に見たときの回答：{second}。",
    ),
    "your_photo": ("your {letter}", "您的 {letter}", "あなたの {letter}"),
    "exchanged": (
        "Here the model was shown B first: what it calls Image A is your photo B.",
        "此次先给模型看 B：它所说的 Image A 是您的照片 B。",
        "ここではモデルに B を先に見せました。回答の Image A はあなたの写真 B です。",
    ),
    "as_it_is": ("Reply as it is", "原样显示回答", "回答をそのまま表示"),
    "named": ("{name}: {problem}", "{name}：{problem}", "{name}：{problem}"),
    "the_reference": ("The reference", "参考照片", "参照写真"),
    "names_full": (
        "IMG.CR2.xmp (darktable, digiKam)",
        "IMG.CR2.xmp，供 darktable、digiKam 读取",
        "IMG.CR2.xmp（darktable・digiKam 用）",
    ),
    "names_stem": (
        "IMG.xmp (Lightroom, Bridge)",
        "IMG.xmp，供 Lightroom、Bridge 读取",
        "IMG.xmp（Lightroom・Bridge 用）",
    ),
    "pairs_pace": (
        "{done} of at most {most} pairs, each in both orders",
        "{done} / 最多 {most} 对，均以两种顺序",
        "最大 {most} 組中 {done} 組、それぞれ両方の順",
    ),
    "strength": (
        "best in {chance:.0f} of 100; strength {value:+.1f} ({low:+.1f} to {high:+.1f})",
        "100 次中有 {chance:.0f} 次最好；强度 {value:+.1f}（{low:+.1f} 至 {high:+.1f}）",
        "100 回に {chance:.0f} 回は最良、強さ {value:+.1f}（{low:+.1f}～{high:+.1f}）",
    ),
    "places_pace": (
        "{done} of {total} places, each rated at 100 %, {seconds:.0f} s",
        "已看 {done} / {total} 处，均按 100 % 评分，{seconds:.0f} 秒",
        "{total} か所中 {done} か所、それぞれ 100 % で評価、{seconds:.0f} 秒",
    ),
    "covered": (
        "these places are {part:.0%} of the photo",
        "这些位置占照片的 {part:.0%}",
        "これらの場所は写真の {part:.0%} です",
    ),
    "sharpest": ("sharpest", "最清晰", "最も鮮鋭"),
    "noisiest": ("noisiest", "噪声最多", "最もノイズが多い"),
    "lowest": ("lowest", "最低分", "最低評価"),
    "ready": ("{total} photos.", "{total} 张照片。", "写真 {total} 枚。"),
    "kept_table": (
        "The shoot is back: {count} photos are rated.",
        "已恢复上次的内容：已评分 {count} 张照片。",
        "前回の内容を戻しました：{count} 枚が評価済みです。",
    ),
    "written_xmp": (
        "{count} photos have their XMP now.{where}",
        "已为 {count} 张照片写入 XMP。{where}",
        "{count} 枚の写真に XMP を書きました。{where}",
    ),
    "copied_picks": (
        "{count} picked frames are in {where}.",
        "{count} 张选中的照片已复制到 {where}。",
        "選んだ {count} 枚を {where} にコピーしました。",
    ),
    "copied_best": (
        "{count} frames, the best of each burst and what stands alone, are in {where}.",
        "{count} 张照片（每组连拍的最佳与单张）已复制到 {where}。",
        "連写ごとの最良と単独の写真、計 {count} 枚を {where} にコピーしました。",
    ),
    "and_more": ("And {count} more.", "另有 {count} 个。", "ほか {count} 件。"),
    "gathering": ("Looking through the photos …", "正在浏览照片……", "写真を調べています…"),
    "left_out": ("Left out: {parts}.", "未包含：{parts}。", "対象外：{parts}。"),
    "no_photos": (
        "Expected photos ({kinds}); there are none.",
        "没有照片（{kinds}）。",
        "写真（{kinds}）がありません。",
    ),
    "ranked": ("{count} photos rated.", "已评分 {count} 张照片。", "{count} 枚の写真を評価しました。"),
    "ranked_but": (
        "{count} photos rated, {unread} could not be read.",
        "已评分 {count} 张照片，另有 {unread} 张无法读取。",
        "{count} 枚の写真を評価しました（ほかに {unread} 枚は読み込めませんでした）。",
    ),
    "ranked_before": (
        "The table shows the photos that were chosen before.",
        "表中是之前选择的照片。",
        "表は前に選ばれた写真のものです。",
    ),
    "stopped_at": (
        "Stopped: {done} of {total} photos are done. Rate all goes on from there.",
        "已停止：已完成 {done} / {total} 张照片。再次评分将从此处继续。",
        "停止しました：{total} 枚中 {done} 枚が完了。もう一度評価すると続きから始まります。",
    ),
    "pace_begun": ("0 of {total} photos", "0 / {total} 张照片", "{total} 枚中 0 枚"),
    "pace": (
        "{done} of {total} photos{failed}{rate}{left}",
        "{done} / {total} 张照片{failed}{rate}{left}",
        "{total} 枚中 {done} 枚{failed}{rate}{left}",
    ),
    "pace_rate": (", {rate:.1f} a second", "，每秒 {rate:.1f} 张", "、毎秒 {rate:.1f} 枚"),
    "pace_failed": (
        ", {failed} could not be read",
        "，{failed} 张无法读取",
        "（{failed} 枚は読み込めません）",
    ),
    "pace_left": (", {left} left", "，剩余 {left}", "、残り {left}"),
    "preview_chip": ("Preview model", "预览模型", "プレビューモデル"),
    "why": ("why?", "为什么？", "なぜ？"),
    "preview_headline": (
        "Preview model: a few million parameters, trained on synthetic degradations; a demonstration, "
        "not the published weights. With a CUDA GPU, or with --model {published}, the real ones answer.",
        "预览模型：仅数百万参数，以合成失真训练，只作演示，并非已发表的权重。"
        "有 CUDA GPU 时，或使用 --model {published}，由正式权重作答。",
        "プレビューモデル：数百万パラメーター、合成した劣化で学習したデモ用で、公開された重みではありません。"
        "CUDA GPU があるか --model {published} を指定すると、公開された重みが答えます。",
    ),
    "preview_headline_space": (
        "Preview model: a few million parameters, trained on synthetic degradations; a demonstration, not the "
        "published weights. Duplicate this Space and give it a GPU: then {published} answers.",
        "预览模型：仅数百万参数，以合成失真训练，只作演示，并非已发表的权重。"
        "复制此 Space 并为其配备 GPU，即由 {published} 作答。",
        "プレビューモデル：数百万パラメーター、合成した劣化で学習したデモ用で、公開された重みではありません。"
        "この Space を複製して GPU を割り当てると、{published} が答えます。",
    ),
    "gpu_idle": (
        "A GPU was expected and could not be used because {reason}. {preview}",
        "应有 GPU 但无法使用：{reason}。{preview}",
        "GPU があるはずですが使えません：{reason}。{preview}",
    ),
    "headline": (
        "{model}, {precision} on {device}.",
        "{model}，{precision}，运行于 {device}。",
        "{model}、{precision}、{device} で動作。",
    ),
    "about_model": ("The model", "模型", "モデル"),
    "about_weights": (
        "**{model}**, {precision} on {device}, {size:.2f} GB of weights",
        "**{model}**，{precision}，运行于 {device}，权重 {size:.2f} GB",
        "**{model}**、{precision}、{device} で動作、重み {size:.2f} GB",
    ),
    "in_line": (
        "In line for the model: {before} before you.",
        "正在排队等待模型：前面还有 {before} 个。",
        "モデルの順番待ちです：あと {before} 件。",
    ),
    "comma": (", ", "、", "、"),
    "about_answers": ("answers: {tasks}", "可回答：{tasks}", "答えられること：{tasks}"),
    "task_score": ("score", "质量评分", "画質の評価"),
    "task_degradation": ("degradation", "失真诊断", "劣化の診断"),
    "task_comparison": ("comparison", "照片对比", "写真の比較"),
    "about_size": (
        "rates a photo at {megapixels:.1f} megapixels at most",
        "评估时照片最多 {megapixels:.1f} 百万像素",
        "評価時の写真は最大 {megapixels:.1f} メガピクセル",
    ),
    "about_served": (
        "how it is served: handled as it should be, says its passport of {date}",
        "运行方式：{date} 的护照显示处理正确",
        "動かし方：{date} のパスポートでは正しく扱われています",
    ),
    "about_alarms": (
        "how it is served: its passport of {date} has alarms: {alarms}",
        "运行方式：{date} 的护照有警报：{alarms}",
        "動かし方：{date} のパスポートに警告があります：{alarms}",
    ),
    "verdict_answered": ("questions fail", "有的问题没有回答", "答えのない質問がある"),
    "verdict_readable": ("replies cannot be read", "回复无法读取", "返答が読み取れない"),
    "verdict_whole": ("replies are cut", "回复被截断", "返答が途中で切れる"),
    "verdict_thinking": ("there is no thinking", "没有思考过程", "思考がない"),
    "verdict_seen": ("pictures are not seen", "看不到图片", "写真が見えていない"),
    "verdict_twice": (
        "asked twice, it answers otherwise",
        "同一问题两次回答不同",
        "同じ質問に違う答えを返す",
    ),
    "verdict_batch": (
        "among others, it answers otherwise",
        "与其他问题一起时回答不同",
        "他の質問と一緒だと答えが変わる",
    ),
    "verdict_pictures": ("pictures are swapped or left out", "图片被调换或遗漏", "写真が入れ替わるか抜ける"),
    "verdict_orders": (
        "the same place always wins",
        "总是同一位置的照片胜出",
        "いつも同じ位置の写真が勝つ",
    ),
    "verdict_ladders": (
        "more harm does not lower the rating",
        "损伤加重而评分不降",
        "劣化が進んでも評価が下がらない",
    ),
    "verdict_orientation": ("pictures are turned", "图片方向错误", "写真の向きが違う"),
    "verdict_size": ("pictures are shrunk", "图片被缩小", "写真が縮小される"),
    "verdict_lossless": ("fine detail is lost", "细节丢失", "細部が失われる"),
    "verdict_colours": ("colour is lost", "颜色丢失", "色が失われる"),
    "verdict_shape": (
        "pictures are cropped, padded or squeezed",
        "图片被裁剪、填充或变形",
        "写真が切られ、余白が付き、または歪む",
    ),
    "verdict_probabilities": ("the odds are wrong", "概率不正确", "確率が正しくない"),
    "verdict_penalty": (
        "the repetition penalty changes nothing",
        "重复惩罚不起作用",
        "繰り返しペナルティが効かない",
    ),
    "verdict_seeds": ("seeds change nothing", "随机种子不起作用", "シードが効かない"),
    "verdict_limit": (
        "the limit of a reply changes nothing",
        "回复长度限制不起作用",
        "返答の長さの上限が効かない",
    ),
    "verdict_stop": ("Stop changes nothing", "停止不起作用", "停止が効かない"),
    "verdict_identity": (
        "other weights seem to answer",
        "作答的似乎是其他权重",
        "別の重みが答えているようだ",
    ),
    "about_licence": ("licence: Apache-2.0", "许可证：Apache-2.0", "ライセンス：Apache-2.0"),
    "about_card": (
        "The preview's card: what it was taught, and how often it is right on real photographs",
        "预览模型的说明（英文）",
        "プレビューモデルの説明（英語）",
    ),
    "about_credit": (
        "## The method\n"
        "Q-Insight: Understanding Image Quality via Visual Reinforcement Learning (arXiv 2503.22679, NeurIPS "
        "2025).\nThe prompts and the published weights ({published}) are theirs, under Apache-2.0; so is this "
        "application.\n\n"
        "## Your photos\n"
        "A photo is read on the machine that runs this page, rated there, and deleted an hour after\nthe tab that "
        "shows it was closed, at the latest.\n"
        "Nothing is sent anywhere else. A photo taken on an iPhone reaches a browser as a JPEG copy: what is "
        "rated\nis that copy. Your browser remembers the language, the filters and the tab, and what was "
        "answered until its tab closes.\n",
        "## 方法\n"
        "Q-Insight: Understanding Image Quality via Visual Reinforcement Learning（arXiv 2503.22679，NeurIPS "
        "2025）。提示词与已发表的权重（{published}）出自原作者，采用 Apache-2.0 许可证；本应用亦然。\n\n"
        "## 您的照片\n"
        "照片只在运行本页面的机器上读取和评估，最迟在显示它的标签页关闭一小时后删除，不会发送到别处。"
        "iPhone 拍摄的照片会以 JPEG 副本传给浏览器：评估的是这个副本。"
        "浏览器会记住语言、筛选条件和标签页；已回答的内容只保留到关闭该浏览器标签页为止。\n",
        "## 手法\n"
        "Q-Insight: Understanding Image Quality via Visual Reinforcement Learning（arXiv 2503.22679、NeurIPS "
        "2025）。プロンプトと公開された重み（{published}）は原著者のもので、Apache-2.0 です。"
        "このアプリケーションも同じです。\n\n"
        "## 写真の取り扱い\n"
        "写真はこのページを動かしているコンピューターで読み込まれて評価され、遅くとも表示しているタブを閉じた 1 時間後に削除されます。"
        "ほかへは送信されません。"
        "iPhone で撮った写真は JPEG のコピーとしてブラウザーに渡されるため、評価されるのはそのコピーです。"
        "ブラウザーは言語・絞り込み・タブを覚え、回答済みのものはそのタブを閉じるまでだけ残します。\n",
    ),
    "astronaut": ("astronaut", "宇航员", "宇宙飛行士"),
    "astronaut_dark": ("astronaut dark", "宇航员 偏暗", "宇宙飛行士 暗い"),
    "cat": ("cat", "猫", "猫"),
    "cat_blurred": ("cat blurred", "猫 模糊", "猫 ぼけ"),
    "coffee": ("coffee", "咖啡", "コーヒー"),
    "coffee_noisy": ("coffee noisy", "咖啡 噪声", "コーヒー ノイズ"),
    "rocket": ("rocket", "火箭", "ロケット"),
    "rocket_compressed": ("rocket compressed", "火箭 压缩", "ロケット 圧縮"),
} | MEANINGS

_ORDER = tuple(Language)
PREFIX = "qi_"  # Gradio's own words have keys such as "slider"

I18N = gr.I18n(
    **{
        # plain zh, since a browser set to zh-TW or zh-HK falls back to it
        str(language).removesuffix("-CN"): {
            **{PREFIX + key: texts[place] for key, texts in LABELS.items()},
            "common.upload": LABELS["choose"][place],  # of a button of Gradio 6.31, which has no words for it
        }
        for place, language in enumerate(_ORDER)
    }
)


def label(key: str) -> Any:
    """A label that follows the language in the browser."""
    if key not in LABELS:
        raise KeyError(key)
    return I18N(PREFIX + key)


@dataclass(frozen=True)
class Words:
    """What the page says, in one language."""

    language: Language = Language.ENGLISH

    def __call__(self, key: str, **values: object) -> str:
        """A phrase with its {names} filled in, or a label."""
        texts = PHRASES.get(key) or LABELS[key]
        return texts[_ORDER.index(self.language)].format(**values)

    def sentence(self, error: QInsightError | str) -> str:
        """The words of an error as a sentence of its own; on the command line they follow a file name."""
        said = error.sentence if isinstance(error, QInsightError) else error
        return self._translated(said) or by_itself(said)

    def remark(self, said: str) -> str:
        """A status or remark that was made elsewhere; finished English is shown as it is."""
        return self._translated(said) or str(said)

    def _translated(self, said: str) -> str | None:
        return (
            None if self.language is Language.ENGLISH else translated(said, _ORDER.index(self.language) - 1)
        )

    def meaning(self, kind: str, name: str) -> str:
        """What a name means that came from elsewhere; the name itself where that is not known."""
        return f"{self(f'{kind}_{name}')} ({name})" if f"{kind}_{name}" in PHRASES else name

    def name(self, stem: str) -> str:
        """An example photo's name, for people."""
        return self(stem) if stem in PHRASES else stem.replace("_", " ")


ENGLISH = Words()


def understood(tag: str | None) -> Language:
    """The page's language for a browser's, such as zh-Hans-CN, or for an Accept-Language header."""
    for wish in (tag or "").lower().split(","):
        primary = wish.strip().split(";")[0].split("-")[0]
        for language in Language:
            if language.split("-")[0] == primary:
                return language
    return Language.ENGLISH


class Spoken:
    """Which language each visitor reads: the one chosen on the page, else the browser's."""

    MOST = 10_000  # visitors who left without a word are forgotten in the end

    def __init__(self) -> None:
        self._chosen: OrderedDict[str, Language] = OrderedDict()

    def choose(self, request: gr.Request, tag: str | None) -> Words:
        """Remember what the visitor reads from now on."""
        self._chosen[request.session_hash or ""] = understood(tag)
        while len(self._chosen) > self.MOST:
            self._chosen.popitem(last=False)
        return self.words(request)

    def words(self, request: gr.Request) -> Words:
        """The page's words in the visitor's language."""
        chosen = self._chosen.get(request.session_hash or "")
        if chosen is None:
            headers = getattr(request, "headers", None) or {}
            chosen = understood(headers.get("accept-language"))
        return Words(chosen)

    def forget(self, request: gr.Request) -> None:
        """The visitor closed the page."""
        self._chosen.pop(request.session_hash or "", None)
