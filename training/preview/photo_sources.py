"""Which free photographs the preview learns from, under which licence, and which are kept to measure it."""

from dataclasses import dataclass

HELD_OUT = {
    *("astronaut", "chelsea", "coffee", "rocket", "flower", "Dragonfly_by_Bolly", "Wine_by_Jakkub_Mede"),
    *("picosdeeuropa_by_Aitzol_Berasategi", "seeding_by_Clements_Engelhardt", "LadyBird", "Dune", "Grey"),
    *("european-honey-bee", "castle-maintenon", "FallenLeaf", "gorilla", "kingfisher", "cheetah", "squirrel"),
    *("camels", "toucan", "petra", "machuPicchu", "charminar", "mountRushmore", "colosseum", "hawaMahal"),
    *("berlinCathedral", "pontduGard", "panda", "crocodile", "scarlet_macaw", "cow", "america", "orchestra"),
}


@dataclass(frozen=True)
class Source:
    """Photographs of one package under one licence: `names` (or shell patterns) under `folder`, or in a Qt resource file.

    A file belongs to the first source that names it. `check` says that these photographs are never learnt from: they are
    the pristine part of the validation.
    """

    package: str
    folder: str
    names: str
    licence: str
    author: str = "see the package's copyright file"
    check: bool = False


BACKGROUNDS = "usr/share/backgrounds"
GCOMPRIS = "usr/share/gcompris-qt/rcc"
PLASMA = "usr/share/wallpapers"
LAND = "usr/share/games/endless-sky/plugins/endless-sky-high-dpi/images/land"
PALAPELI = "usr/share/palapeli/collection"

SOURCES = (
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "aitzgorri_by_Aitzol_Berasategi.jpg friends_by_Aitzol_Berasategi.jpg life_by_Aitzol_Berasategi.jpg "
        "picosdeeuropa_by_Aitzol_Berasategi.jpg sunset_by_Aitzol_Berasategi.jpg",
        "CC-BY-4.0",
        "Aitzol Berasategi",
    ),
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "Picture_0B_by_freespace.jpg Picture_1A_by_freespace.jpg",
        "CC-BY-4.0",
        "Trevor Freespace",
    ),
    Source("lomiri-wallpapers-16.04", BACKGROUNDS, "Wine_by_Jakkub_Mede.jpg", "CC-BY-4.0", "Jakub Mede"),
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "Bridge_by_Sander_Klootwijk.jpg",
        "CC-BY-SA-4.0",
        "Sander Klootwijk",
    ),
    Source("lomiri-wallpapers-16.04", BACKGROUNDS, "Dragonfly_by_Bolly.jpg", "CC-BY-SA-4.0", "Bolly"),
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "free_by_Peter_Nerlich.jpg greentock_by_Peter_Nerlich.jpg",
        "CC-BY-SA-4.0",
        "Peter Nerlich",
    ),
    Source(
        "lomiri-wallpapers-16.04",
        BACKGROUNDS,
        "seeding_by_Clements_Engelhardt.jpg",
        "CC0-1.0",
        "Clemens Engelhardt",
    ),
    Source(
        "lomiri-wallpapers-20.04",
        BACKGROUNDS,
        "Kleiber_by_Lukas_Baubkus.jpg",
        "CC-BY-SA-3.0",
        "Lukas Baubkus",
    ),
    Source(
        "mate-backgrounds",
        f"{BACKGROUNDS}/mate/nature",
        "Aqua.jpg Blinds.jpg Dune.jpg FreshFlower.jpg Garden.jpg GreenMeadow.jpg LadyBird.jpg RainDrops.jpg "
        "Storm.jpg TwoWings.jpg Wood.jpg YellowFlower.jpg",
        "GPL-2+",
    ),
    Source("palapeli-data", PALAPELI, "castle-maintenon.jpg", "GFDL", "Eric Pouhier"),
    Source("palapeli-data", PALAPELI, "panther-chameleon-female.jpg", "GFDL", "B. Navez and others"),
    Source("palapeli-data", PALAPELI, "cincinnati-bridge.jpg", "public domain", "Derek Jensen"),
    Source("palapeli-data", PALAPELI, "citrus-fruits.jpg", "public domain", "US Department of Agriculture"),
    Source("palapeli-data", PALAPELI, "european-honey-bee.jpg", "public domain", "John Severns"),
    Source("plasma-workspace-wallpapers", PLASMA, "BytheWater", "LGPL-3", "Maciej Wiklo"),
    Source("plasma-workspace-wallpapers", PLASMA, "ColorfulCups", "LGPL-3", "Dmitri Popov"),
    Source("plasma-workspace-wallpapers", PLASMA, "EveningGlow", "LGPL-3", "Ian Hex"),
    Source("plasma-workspace-wallpapers", PLASMA, "FallenLeaf", "LGPL-3", "Martin Klapetek"),
    Source("plasma-workspace-wallpapers", PLASMA, "Grey", "LGPL-3", "Sigi Sagi"),
    Source(
        "plasma-workspace-wallpapers",
        PLASMA,
        "ColdRipple DarkestHour Kite OneStandsOut Path summer_1am",
        "LGPL-3",
        "Risto Saukonpää",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/erase.rcc",
        "gorilla northern_harrier pika caterpillar giraffe calf penguin nubian_ibex camels macaque swans dolphin "
        "long_nosed_monkey kingfisher heron chamaeleon flying_fox gibbon rhinoceros crab goat toucan gosling horse "
        "alpaca cheetah butterfly bee meerkats kitten red_panda squirrel spoonbills",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/explore_monuments.rcc",
        "canyondeChelly georgeWashingtonBirthplace lincolnMemorial navajo cabrillo mountRushmore statueofLiberty "
        "castillodeSanMarcos fortSumter meidumPyramid greatPyramidOfGiza bentPyramid greatStupa gatewayofIndia "
        "konarkSunTemple charminar hawaMahal rangGhar victoriaMemorial mysorePalace goldenTemple ajantaCave "
        "qutubMinar chateaudeChambord pontduGard palaisdesPapes reimsCathedral eiffelTower citedeCarcassonne "
        "arlesAmphitheater chateaudeChenonceau montStMichel rocamadour berlinCathedral schwerinPalace "
        "trierImperialBaths aulaPalatina brandenburgGate neuschwansteinCastle wormsCathedral machuPicchu tajMahal "
        "chichenItza castleClinton redPyramid colosseum petra greatWallofChina christTheRedeemer",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/explore_world_animals.rcc",
        "crocodile koala bison dragon jaguar hedgehog kangaroo narwhal moose panda chameleon lemur polar_bear "
        "scarlet_macaw",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/explore_farm_animals.rcc",
        "dog cow cat chicken sheep pig duck owl",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/explore_world_music.rcc",
        "italy america australia japan orchestra africa ireland mexico middleeast",
        "GPL-3+",
    ),
    Source(
        "gcompris-qt-data",
        f"{GCOMPRIS}/details.rcc",
        "Louvre_2007_02_24_c_background FanoeWindmill_background EgeskovSlotSpejling_background "
        "EilanDonanCastle_background TowerBridgeLondon_background NDP_background Nagoya_background "
        "OperaSidney_background GizahPyramids_background TajMahal_background Neuschwanstein_background",
        "GPL-3+",
    ),
    Source("gcompris-qt-data", f"{GCOMPRIS}/clickgame.rcc", "sea1 sea2 sea3 sea4 sea5 sea6", "GPL-3+"),
    Source(
        "skimage",
        "data",
        "astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png ihc.png "
        "motorcycle_left.png rocket.jpg",
        "public domain or CC0, as documented upstream",
        "see skimage.data",
    ),
    Source("sklearn", "datasets/images", "china.jpg flower.jpg", "CC-BY-2.0", "see its README.txt"),
    Source("endless-sky-high-dpi", LAND, "dmottl*", "CC-BY-SA-3.0", "Dmitry A. Mottl", check=True),
    Source("endless-sky-high-dpi", LAND, "mfield*", "CC-BY-SA-3.0", "Matthew Field", check=True),
    Source("endless-sky-high-dpi", LAND, "*-harro*", "CC-BY-SA-4.0", "@harro.eu", check=True),
    Source("endless-sky-high-dpi", LAND, "bwerner*", "CC-BY-SA-3.0", "Berthold Werner"),
    Source("endless-sky-high-dpi", LAND, "myrabella*", "CC-BY-SA-3.0", "Myrabella"),
    Source("endless-sky-high-dpi", LAND, "*-sfiera*", "CC-BY-SA-4.0", "Chris Pickel"),
    Source("endless-sky-high-dpi", LAND, "*-striker*", "CC-BY-SA-4.0", "Michael Wilso"),
    Source("endless-sky-high-dpi", LAND, "*-iridium*", "CC-BY-SA-4.0", "@Iridium Ore"),
    Source("endless-sky-high-dpi", LAND, "*-spfld*", "CC-BY-SA-4.0", "Eric Denni"),
    Source("endless-sky-high-dpi", LAND, "lava5*", "CC-BY-SA-4.0", "Michael Zahniser"),
    Source("endless-sky-high-dpi", LAND, "nasa[0-7]* space* station* desert0*", "public domain", "NASA"),
    Source(
        "endless-sky-high-dpi",
        LAND,
        "[bcdfhilmsvw]*",
        "public domain",
        "morguefile.com, unsplash.com and USGS; file by file in the package's copyright file",
    ),
    Source(
        "kphotoalbum",
        "usr/share/kphotoalbum/demo",
        "anne_helene.jpg bar55.jpg blackie.jpg cold_water.jpg donna.jpg grand_canyon_1.jpg grand_canyon_2.jpg "
        "grand_canyon_3.jpg jesper.jpg jesper_2.jpg new_wave_1.jpg new_wave_2.jpg pool.jpg pool_2.jpg skagen.jpg "
        "skagen_2.jpg snow.jpg spiff.jpg sunset.jpg wayne.jpg",
        "GPL-2+",
    ),
    Source(
        "tuxpaint-data",
        "usr/share/tuxpaint/templates",
        "burnt_bark.jpg cliff.jpg corn_maze.jpg lighthouse.jpg mossy_bark.jpg mossy_log.jpg mudstone.jpg "
        "ocean_splash.jpg ocean_waves.jpg redwoods_above.jpg rocks.jpg sun_behind_clouds.jpg sun_behind_leaves.jpg "
        "trees_above.jpg trees_at_dusk.jpg wool_mill_machine.jpg",
        "GPL-2+",
    ),
)

CID22 = "CID22"  # github.com/imazen/codec-corpus, commit 55decfe, CID22/CID22-512/training: 209 files of 512 x 512
CID22_LICENCE, CID22_AUTHOR = "CC-BY-SA-4.0", "Cloudinary, CID22"
CID22_CHECKED = 6  # every sixth photograph is kept for the validation
